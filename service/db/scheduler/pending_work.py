"""The work that is pending, over all tenants: what the scheduler reads in each round.

Jobs that pause after a fault are left out until their pause is over.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.database import now
from service.db.jobs.jobs import Job, job_of
from service.db.jobs.workers import num_workers

_QUEUED_AT_MOST = 1000
_STEPS_AT_MOST = 100
"""Jobs to validate or to publish. More would only wait in memory instead of in the database."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that is ready to run."""

    job_id: str
    num_workers: int
    """Training processes that the job needs at the same time."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt whose resources Ray may still hold."""

    job_id: str
    number: int
    submission_id: str
    state: str
    """submitting, submitted, running or ended."""
    num_workers: int
    heartbeat_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class PendingWork:
    """All lists are oldest first."""

    at: float
    """The time of reading, by the database's clock."""
    validating: list[Job]
    queued: list[QueuedJob]
    publishing: list[Job]
    attempts: list[Attempt]


def pending_work(session: Session) -> PendingWork:
    at = now(session)
    return PendingWork(
        at=at,
        validating=_jobs_in(session, JobStatus.VALIDATING_FILES, at),
        queued=_queued(session, at),
        publishing=_jobs_in(session, JobStatus.PUBLISHING, at),
        attempts=_unreleased(session),
    )


def _jobs_in(session: Session, status: JobStatus, at: float) -> list[Job]:
    rows = session.scalars(
        select(tables.Job)
        .where(tables.Job.status == status.value, _is_due(at))
        .order_by(tables.Job.created_at, tables.Job.id)
        .limit(_STEPS_AT_MOST)
    )
    return [job_of(row) for row in rows]


def _queued(session: Session, at: float) -> list[QueuedJob]:
    rows = session.execute(
        select(tables.Job.id, tables.Job.training, tables.Job.config)
        .where(tables.Job.status == JobStatus.QUEUED.value, _is_due(at))
        .order_by(tables.Job.created_at, tables.Job.id)
        .limit(_QUEUED_AT_MOST)
    )
    return [QueuedJob(job_id, num_workers(training, config)) for job_id, training, config in rows]


def _is_due(at: float) -> ColumnElement[bool]:
    return or_(tables.Job.retry_at.is_(None), tables.Job.retry_at <= at)


def _unreleased(session: Session) -> list[Attempt]:
    rows = session.execute(
        select(tables.Attempt, tables.Job.training, tables.Job.config)
        .join(tables.Job, tables.Job.id == tables.Attempt.job_id)
        .where(tables.Attempt.released_at.is_(None))
        .order_by(tables.Attempt.created_at)
    )
    return [
        Attempt(
            job_id=row.job_id,
            number=row.number,
            submission_id=row.submission_id,
            state=row.state,
            num_workers=num_workers(training, config),
            heartbeat_at=row.heartbeat_at,
            ended_at=row.ended_at,
        )
        for row, training, config in rows
    ]
