"""A new job waits until those ahead have left it enough slots."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.contracts.jobs import JobStatus
from service.api.jobs.queue_waits import queue_wait


@dataclass
class Ahead:
    """The part of a job that matters."""

    status: JobStatus
    seconds: float | None = None
    workers: int = 1
    estimated_finish: int | None = None
    num_workers: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_workers = self.workers


QUEUED, RUNNING = JobStatus.QUEUED, JobStatus.RUNNING


@pytest.mark.parametrize(
    ("ahead", "slots", "wanted", "expected"),
    [
        ([], 1, 1, 0),
        ([Ahead(RUNNING, 99, estimated_finish=130)], 1, 1, 30),
        ([Ahead(RUNNING, 40)], 1, 1, 40),
        ([Ahead(RUNNING, 99, estimated_finish=50)], 1, 1, 0),
        ([Ahead(RUNNING, 40), Ahead(QUEUED, 10)], 1, 1, 50),
        ([Ahead(RUNNING, 40), Ahead(QUEUED, 10)], 2, 1, 10),
        ([Ahead(RUNNING, 40), Ahead(QUEUED, 10)], 2, 2, 40),
        # The large job waits for both slots, and those behind it wait with it.
        ([Ahead(RUNNING, 40), Ahead(QUEUED, 10, workers=2)], 2, 1, 50),
        ([Ahead(QUEUED, 10, workers=3)], 2, 1, 0),
        ([Ahead(JobStatus.PUBLISHING, 10)], 1, 1, 0),
        ([Ahead(QUEUED, None)], 1, 1, None),
    ],
)
def test_jobs_run_in_order_on_the_slots_that_are_free_first(
    ahead: Any, slots: int, wanted: int, expected: float | None
) -> None:
    assert queue_wait(ahead, lambda job: job.seconds, slots=slots, wanted=wanted, at=100.0) == expected  # type: ignore[attr-defined]
