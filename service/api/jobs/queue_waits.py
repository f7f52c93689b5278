"""Estimates how long a new job waits for its training slots. Pure."""

from collections.abc import Callable, Sequence

from cluster.contracts.jobs import JobStatus
from service.db.jobs.jobs import Job

_HOLDING = (JobStatus.STARTING, JobStatus.RUNNING, JobStatus.PAUSING)


def queue_wait(
    ahead: Sequence[Job],
    expected_seconds: Callable[[Job], float | None],
    *,
    slots: int,
    wanted: int,
    at: float,
) -> float | None:
    """Lets the jobs ahead run in their order, as the scheduler does, and returns the seconds until `wanted`
    of the `slots` are free. None if a job ahead is of a kind that has never been measured."""
    free_at = [0.0] * slots
    latest_start = 0.0
    for job in ahead:
        if job.status is JobStatus.PUBLISHING:
            continue
        seconds = _remaining(job, expected_seconds, at)
        if seconds is None:
            return None
        if job.num_workers > slots:
            continue
        latest_start = _take(free_at, job.num_workers, seconds, latest_start)
    return _take(free_at, min(wanted, slots), 0.0, latest_start)


def _remaining(job: Job, expected_seconds: Callable[[Job], float | None], at: float) -> float | None:
    if job.status in _HOLDING and job.estimated_finish is not None:
        return max(0.0, job.estimated_finish - at)
    return expected_seconds(job)


def _take(free_at: list[float], count: int, seconds: float, earliest: float) -> float:
    """Takes the slots that are free first, not before the job ahead started. Returns the start."""
    free_at.sort()
    start = max(earliest, free_at[count - 1])
    free_at[:count] = [start + seconds] * count
    return start
