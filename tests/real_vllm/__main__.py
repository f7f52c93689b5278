"""Runs the engine contract against the real vLLM: `python -m tests.real_vllm [pytest's arguments]`.

Needs a machine with a GPU, `.[cluster,vllm]` and pytest (`make test-gpu`), or vLLM's build for CPUs
(`make test-vllm`).
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
    SUITE / "vllm_backend" / "test_arguments.py",
    Path(__file__).with_name("replica.py"),
    Path(__file__).with_name("turns.py"),
]

KNOWN_FAILURES = [
    # vLLM does not clear KV cache memory before the next request gets it. Tunery protects requests in other
    # ways: weights that are not finite are not published, an adapter that overflows runs only once, and an
    # engine whose memory spoils other requests is replaced.
    "test_weights_that_overflow_fail_alone_and_leave_neighbours_bit_equal",
    "test_a_slot_is_clean_after_weights_that_overflow",
    "test_a_prompt_is_not_scored_with_numbers_that_are_not_finite",
    # vLLM rounds an adapter to the base's dtype; PEFT does not.
    "test_a_base_in_half_precision_is_served_as_its_library_runs_it",
]
"""Tests of the contract that vLLM is known to fail."""


def main(arguments: list[str]) -> int:
    os.environ["TUNERY_TEST_VLLM"] = "real"
    # The model has four heads, and the attention kernels need a head width of 32.
    os.environ.setdefault("TUNERY_TEST_HIDDEN", "128")
    # The first start on a machine takes minutes.
    os.environ.setdefault("TUNERY_TEST_TIMEOUT_SECONDS", "600")
    return pytest.main(
        [
            *map(str, [CONTRACT, *ALSO]),
            *(f"--deselect={CONTRACT.relative_to(ROOT)}::{name}" for name in KNOWN_FAILURES),
            # The conftest above imports the service, which needs another FastAPI version than vLLM.
            f"--confcutdir={SUITE}",
            # Warnings from vLLM are not errors, because we cannot fix them.
            "--pythonwarnings=default",
            "-k",
            "vllm",
            *arguments,
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
