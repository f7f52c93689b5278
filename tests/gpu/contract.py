"""Runs the engine contract against the real vLLM, on a machine with a GPU: `make test-gpu`, or
`python -m tests.gpu.contract [pytest's arguments]` where `.[cluster,vllm]` and pytest are installed."""

import os
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parent.parent / "cluster" / "serving"


def main(arguments: list[str]) -> int:
    os.environ["TUNERY_TEST_VLLM"] = "real"
    # Four heads, and the attention kernels want 32 numbers in each.
    os.environ.setdefault("TUNERY_TEST_HIDDEN", "128")
    return pytest.main(
        [
            str(SUITE / "test_engine_contract.py"),
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
