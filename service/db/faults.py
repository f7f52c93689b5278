"""What becomes of a job when something goes wrong: it ends, waits, or is tried again.

Faults of the platform and waits are counted on the job's row, so that they outlive every process, and only
since the job's last progress: a long job is not given up for faults that were days apart.
"""

from typing import Any

from sqlalchemy.orm import Session

from cluster.contracts.errors import MODEL_NOT_AVAILABLE, Overloaded, Unavailable
from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.retries import RetryPolicy
from service.db.transitions import NewEvent, add_events, transition

RESET_FAULTS: dict[str, Any] = {"faults": 0, "retry_at": None, "waiting_since": None, "waited_for": None}
"""A job's columns once it has got on: a step is done, or a checkpoint saved."""

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
    message = _storable(message)
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
    """Counts a fault of the platform, which the sentence `what` describes. The job is due again after a
    pause, in the state `to` if it must leave its own; or it ends, if this was one fault too many. The caller
    holds the job's lock."""
    what, faults = _storable(what), job.faults + 1
    if faults >= retries.max_faults:
        message = f"The platform failed {faults} times in a row while it ran this job. {_NOT_YOURS}"
        fail(session, job, code="platform_error", message=f"{message} Last: {what}", at=at)
        return
    pause = retries.pause_seconds(faults)
    if to is not None:
        job = transition(session, job, to, at=at, estimated_finish=None)
    job.faults, job.retry_at = faults, at + pause
    left = retries.max_faults - faults
    then = f"It is tried again in {pause:.0f} seconds; {left} more fault(s) without progress end the job."
    add_events(session, job, [NewEvent(f"{what} {then}", level="warn")], at=at)


def note_wait(
    session: Session,
    job: tables.Job,
    step: str,
    error: Unavailable | Overloaded,
    *,
    timeout_seconds: float,
    at: float,
) -> None:
    """Notes that a step ("Validation") cannot go on before something answers. The job's owner is told once
    for each thing; the job ends after `timeout_seconds`. The caller holds the job's lock."""
    since = job.waiting_since
    if since is None:
        job.waiting_since = at
    elif at - since >= timeout_seconds:
        # What the operator must mend keeps its name.
        code = error.code if error.code == MODEL_NOT_AVAILABLE else "platform_error"
        message = f"{step} waited for {at - since:.0f} seconds, which is the limit. {_NOT_YOURS}"
        fail(session, job, code=code, message=f"{message} Last: {error.message}", at=at)
        return
    told = job.waited_for or []
    if error.code not in told:
        job.waited_for = [*told, error.code]
        add_events(session, job, [NewEvent(_storable(f"{step} waits: {error.message}"), level="warn")], at=at)


def _storable(text: str) -> str:
    """PostgreSQL has no NUL in text."""
    return text.replace("\x00", "\ufffd")
