"""What happens to a job when something goes wrong: it fails, waits or is retried.

Platform faults and waits are counted on the job's row, so that the counts survive restarts. Progress resets
them: a long job does not fail because of faults that were days apart.
"""

from typing import Any

from sqlalchemy.orm import Session

from cluster.contracts.errors import CHECK_QUEUED, MODEL_NOT_AVAILABLE, TuneryError
from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.retries import RetryPolicy
from service.db.transitions import NewEvent, add_events, transition

RESET_FAULTS: dict[str, Any] = {"faults": 0, "retry_at": None, "waiting_since": None, "waited_for": None}
"""Columns of a job that has made progress: it has finished a step or saved a checkpoint."""

_NOT_YOURS = "It was not the job's fault, and the job may be created again."


def fail(
    session: Session,
    job: tables.Job,
    *,
    code: str,
    message: str,
    param: str | None = None,
    data: dict[str, object] | None = None,
    at: float,
) -> None:
    """Ends the job with an error for its owner. The caller holds the job's lock."""
    message = storable(message)
    error = {"code": code, "message": message, "param": param}
    job = transition(session, job, JobStatus.FAILED, at=at, error=error)
    event_data = {"error_code": code} | (data or {})
    add_events(session, job, [NewEvent(message, level="error", data=event_data)], at=at)


def retry(
    session: Session,
    job: tables.Job,
    what: str,
    *,
    retries: RetryPolicy,
    at: float,
    to: JobStatus | None = None,
) -> None:
    """Counts a platform fault, described by the sentence `what`. The job is due again after a pause, in the
    state `to` if that is given, or fails if there have been too many faults. The caller holds the job's
    lock."""
    what, faults = storable(what), job.faults + 1
    if faults >= retries.max_faults:
        message = f"The platform failed {faults} times in a row while it ran this job. {_NOT_YOURS}"
        fail(session, job, code="platform_error", message=f"{message} Last: {what}", at=at)
        return
    pause = retries.pause_seconds(faults)
    if to is not None:
        job = transition(session, job, to, at=at, estimated_finish=None)
    job.faults, job.retry_at, job.waiting_since = faults, at + pause, None
    left = retries.max_faults - faults
    then = f"It will be retried in {pause:.0f} seconds; {left} more fault(s) without progress fail the job."
    add_events(session, job, [NewEvent(f"{what} {then}", level="warn")], at=at)


def note_wait(
    session: Session,
    job: tables.Job,
    step: str,
    error: TuneryError,
    *,
    timeout_seconds: float,
    at: float,
) -> None:
    """Records that a step ("Validation") is waiting for something that does not answer. The job gets one
    event for each such dependency, and fails after `timeout_seconds`. Time in which its check is only queued
    does not count. The caller holds the job's lock."""
    since, tried_at = job.waiting_since, job.retry_at or at
    # The job is due again at once. The next wait learns from this how long it has lasted.
    job.retry_at = at
    if error.code == CHECK_QUEUED:
        job.waiting_since = None if since is None else since + at - tried_at
    elif since is None:
        job.waiting_since = at
    elif at - since >= timeout_seconds:
        # The operator has to fix this, so the error keeps its code.
        code = error.code if error.code == MODEL_NOT_AVAILABLE else "platform_error"
        message = f"{step} waited for {at - since:.0f} seconds, which is the limit. {_NOT_YOURS}"
        fail(session, job, code=code, message=f"{message} Last: {error.message}", at=at)
        return
    reported = job.waited_for or []
    if error.code not in reported:
        job.waited_for = [*reported, error.code]
        add_events(session, job, [NewEvent(storable(f"{step} waits: {error.message}"), level="warn")], at=at)


def storable(text: str) -> str:
    """Replaces NUL, which PostgreSQL cannot store in text."""
    return text.replace("\x00", "\ufffd")
