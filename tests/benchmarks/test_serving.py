"""The serving benchmark runs and reports all its figures. No test judges the figures themselves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.benchmark, pytest.mark.thorough]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.benchmarks.serving", "--shape", "tiny"]


def test_the_engine_is_compared_with_peft_transformers_and_the_base_alone() -> None:
    arguments = ["--levels", "1", "4", "--new-tokens", "4", "--repeats", "1"]
    done = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    http = {"gateway_ms_p50", "gateway_ms_p50_of_64", "http_tokens_share", "http_tokens_share_of_tiny"}
    assert set(result) == {"ratios", *http}
    assert set(result["ratios"]) == {"no_lora_4", "naive_peft_4", "peft_mixed_4", "transformers_cb_4"}
