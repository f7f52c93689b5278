"""Runs the engine contract against the real vLLM: `python -m tests.real_vllm [pytest's arguments]`.

On a machine with a GPU where `.[cluster,vllm]` and pytest are installed (`make test-gpu`), or on any with
vLLM's build for CPUs (`make test-vllm`).
"""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SUITE = ROOT / "tests" / "cluster" / "serving"
CONTRACT = SUITE / "test_engine_contract.py"
ALSO = [
    SUITE / "text" / "test_structured.py",
    SUITE / "text" / "test_tools.py",
    Path(__file__).with_name("replica.py"),
]

NOT_KEPT = [
    # vLLM does not clear the memory of keys and values that it gives to the next request; publishing refuses
    # weights that are not finite, an adapter that overflows is run once, and an engine whose memory spoils
    # others is replaced.
    "test_weights_that_overflow_fail_alone_and_leave_neighbours_bit_equal",
    "test_a_slot_is_clean_after_weights_that_overflow",
    "test_a_prompt_is_not_scored_with_numbers_that_are_not_finite",
    # vLLM rounds an adapter to the base's type, PEFT does not.
    "test_a_base_in_half_precision_is_served_as_its_library_runs_it",
]
"""What of the contract vLLM is known not to keep."""


def main(arguments: list[str]) -> int:
    os.environ["TUNERY_TEST_VLLM"] = "real"
    # Four heads, and the attention kernels want 32 numbers in each.
    os.environ.setdefault("TUNERY_TEST_HIDDEN", "128")
    # A start on a cold machine takes minutes.
    os.environ.setdefault("TUNERY_TEST_TIMEOUT_SECONDS", "600")
    return pytest.main(
        [
            *map(str, [CONTRACT, *ALSO]),
            *(f"--deselect={CONTRACT.relative_to(ROOT)}::{name}" for name in NOT_KEPT),
            # The service, which the conftest above needs, wants another FastAPI than vLLM.
            f"--confcutdir={SUITE}",
            # vLLM's warnings are not ours to mend.
            "--pythonwarnings=default",
            "-k",
            "vllm",
            *arguments,
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
