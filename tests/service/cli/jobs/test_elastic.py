"""What commands show of elastic jobs."""

from typing import Any

import pytest

from service.cli.admin import queue
from service.cli.jobs.commands import _DETAILS
from service.cli.jobs.estimates import worker_counts


def job(current: int | None) -> dict[str, Any]:
    plans = [{"num_workers": count} for count in (1, 2, 2, 4)]
    return {"tunery": {"workers": {"current": current, "min": 1, "max": 4, "plans": plans}}}


@pytest.mark.parametrize(("current", "shown"), [(2, "2 now, of 1, 2 or 4"), (None, "1, 2 or 4")])
def test_a_job_shows_how_many_workers_it_has_and_may_have(current: int | None, shown: str) -> None:
    column = _DETAILS["WORKERS"]
    assert callable(column)
    assert column(job(current)) == shown
    assert column({"tunery": {"workers": None}}) is None
    assert worker_counts({"plans": [{"num_workers": 3}]}) == "3"


def test_the_queue_shows_how_many_devices_a_job_needs_and_takes() -> None:
    column = queue._COLUMNS["DEVICES"]
    assert callable(column)
    shown = [column({"num_workers": fewest, "max_workers": most}) for fewest, most in ((2, 2), (1, 4))]
    assert shown == ["2", "1-4"]
