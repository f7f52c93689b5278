"""A change that is not meant to change numbers changes none: neither losses nor served tokens."""

import json
from pathlib import Path

import pytest

from tests.cluster.golden import JOBS, RECORDED, run_job

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", JOBS)
def test_losses_and_served_tokens_are_those_recorded(name: str, tmp_path: Path) -> None:
    expected = json.loads(RECORDED.read_text())[name]
    found = run_job(name, tmp_path)
    # Other processors add in another order.
    assert found["losses"] == pytest.approx(expected["losses"], abs=1e-4)
    assert found["tokens"] == expected["tokens"]
