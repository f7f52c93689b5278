"""State transitions of jobs: each is one guarded update, with its events and its outbox entry."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict
from cluster.contracts.jobs import TRANSITIONS, JobStatus
from service.db import tables
from service.db.database import note_change
from service.db.ids import new_id

ENDED = tuple(status.value for status in JobStatus if status.is_terminal)
UNFINISHED = tuple(status.value for status in JobStatus if not status.is_terminal)
HELD_BY_ATTEMPT = frozenset({JobStatus.STARTING, JobStatus.RUNNING, JobStatus.PAUSING})
"""States in which the newest attempt is at work. Leaving them ends the attempt."""
_NOTIFICATION_TOPICS = {
    JobStatus.SUCCEEDED: "fine_tuning.job.succeeded",
    JobStatus.FAILED: "fine_tuning.job.failed",
    JobStatus.CANCELLED: "fine_tuning.job.cancelled",
}
Level = Literal["info", "warn", "error"]


@dataclass(frozen=True, slots=True)
class NewEvent:
    message: str
    level: Level = "info"
    type: Literal["message", "metrics"] = "message"
    data: dict[str, Any] = field(default_factory=dict)
    created_at: int | None = None
    """None means now."""
    attempt: int | None = None
    attempt_seq: int | None = None


def lock(session: Session, job_id: str) -> tables.Job | None:
    """Returns the job's current row, locked until the transaction ends. Lock it before any other row except
    its project."""
    return session.scalar(select(tables.Job).where(tables.Job.id == job_id).with_for_update())


def transition(session: Session, job: tables.Job, to: JobStatus, *, at: float, **changes: Any) -> tables.Job:
    """Moves the job to `to` and sets `changes` on its row, if it is still as `job` shows it.

    A terminal state also sets `finished_at` and writes the outbox; leaving one clears `finished_at` and
    `error`. Leaving an attempt's states ends the attempt. Raises Conflict, with nothing written, if the table
    of transitions forbids the move or if the job has changed since `job` was read."""
    source = JobStatus(job.status)
    if to not in TRANSITIONS[source]:
        raise Conflict(f"Job {job.id} is {source.public} and cannot become {to.public}.", code="job_state")
    if to.is_terminal:
        changes = {"finished_at": int(at), "estimated_finish": None, **changes}
    elif source.is_terminal:
        changes = {"finished_at": None, "error": None, **changes}
    ends_attempt = source in HELD_BY_ATTEMPT and to not in HELD_BY_ATTEMPT
    if ends_attempt:
        changes = {"held_seconds": job.held_seconds + _attempt_seconds(session, job, at), **changes}
    moved = session.scalar(
        update(tables.Job)
        .where(tables.Job.id == job.id, tables.Job.version == job.version, tables.Job.status == source)
        .values(status=to.value, version=tables.Job.version + 1, **changes)
        .returning(tables.Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if moved is None:
        raise Conflict(f"Job {job.id} has changed meanwhile.", code="job_state")
    note_change(session, job.id)
    if ends_attempt:
        _end_attempt(session, moved, at)
    if to in _NOTIFICATION_TOPICS:
        enqueue_notification(session, moved, _NOTIFICATION_TOPICS[to], at=at)
    return moved


def add_events(session: Session, job: tables.Job, events: Sequence[NewEvent], *, at: float) -> None:
    """Appends events to the job's log and numbers them. The caller holds the job's lock."""
    if not events:
        return
    first = job.next_event_seq
    rows = [
        {
            "job_id": job.id,
            "seq": first + offset,
            "id": new_id("ftevent-"),
            "attempt": event.attempt,
            "attempt_seq": event.attempt_seq,
            "level": event.level,
            "type": event.type,
            "message": event.message,
            "data": event.data,
            "created_at": int(at) if event.created_at is None else event.created_at,
        }
        for offset, event in enumerate(events)
    ]
    session.execute(insert(tables.JobEvent), rows)
    note_change(session, job.id)
    job.next_event_seq = first + len(rows)
    session.flush()


def enqueue_notification(session: Session, job: tables.Job, topic: str, *, at: float) -> None:
    """Writes an outbox entry, to be delivered once this transaction is committed."""
    session.add(
        tables.OutboxEntry(
            organization_id=job.organization_id,
            project_id=job.project_id,
            topic=topic,
            payload={"id": job.id},
            created_at=int(at),
        )
    )
    session.flush()


def _attempt_seconds(session: Session, job: tables.Job, at: float) -> float:
    """Seconds for which the newest attempt has had its devices; 0 while it waits for them."""
    newest = (tables.Attempt.job_id == job.id, tables.Attempt.number == job.attempt)
    started_at = session.scalar(select(tables.Attempt.started_at).where(*newest))
    return 0.0 if started_at is None else max(0.0, at - started_at)


def _end_attempt(session: Session, job: tables.Job, at: float) -> None:
    session.execute(
        update(tables.Attempt)
        .where(tables.Attempt.job_id == job.id, tables.Attempt.number == job.attempt)
        .where(tables.Attempt.state != "ended")
        .values(state="ended", ended_at=at)
        .execution_options(synchronize_session="fetch")
    )
