"""The API load benchmark runs and reports all its figures. No test judges the figures themselves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.benchmark, pytest.mark.thorough]

ROOT = Path(__file__).parents[2]
SMALL = {
    "streams": 20,
    "seconds": 2,
    "bodies": 2,
    "body-mib": 2,
    "json-bodies": 2,
    "json-mib": 2,
    "heads-mib": 1,
    "header-mib": 1,
    "half-open": 3,
    "idle": 2,
    "patience": 0.2,
}


def test_many_streams_and_every_attack_are_measured() -> None:
    arguments = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "tests.benchmarks.load", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    # The API does not close the connections in so short a time, so the exit status is 1.
    assert done.returncode == 1, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert (result["streams"]["open"], result["streams"]["cut"]) == (20, 0)
    assert result["streams"]["event_delay_p99_ms"] > 0
    assert result["bodies_without_token"]["answers"] == {"401": 2}
    assert result["json_without_token"]["answers"] == {"401": 2}
    assert result["json_with_key"]["answers"] == {"400": 2}
    assert result["many_headers"]["answer"] == result["one_header"]["answer"] == "431"
    assert "half_open" not in result["connections"]["ended"]
    for attack in set(result) - {"streams"}:
        assert result[attack]["mib_peak"] >= result[attack]["mib_before"] > 0
        assert result[attack]["get_slowest_ms"] > 0
