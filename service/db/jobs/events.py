"""Events of jobs: pages of events, and the current end of each job's log."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.jobs.owned_jobs import get_owned_job
from service.db.paging import Page, page
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    """`ftevent-…`"""
    job_id: str
    seq: int
    """Counts the job's events from 0, without gaps."""
    level: Literal["info", "warn", "error"]
    type: Literal["message", "metrics"]
    message: str
    data: dict[str, Any]
    created_at: int


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """The current end of a job's log. It only grows."""

    next_seq: int
    """`Event.seq` of the next event."""
    is_over: bool
    """Whether the job has ended, so that no event will follow."""


class JobEvents:
    """Events of one tenant's jobs. Every method raises NotFound if the job is not the tenant's."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def page(self, job_id: str, *, after: str | None = None, limit: int = 20) -> Page[Event]:
        """Newest first. `after` is an event's id; raises InvalidRequest if the job has no such event."""
        get_owned_job(self._session, self._tenant, job_id)
        statement = select(tables.JobEvent).where(tables.JobEvent.job_id == job_id)
        found = page(
            self._session, statement, key=(tables.JobEvent.seq,), after=after, cursors=statement, limit=limit
        )
        return Page([_event_of(row) for row in found.data], found.has_more)

    def since(self, job_id: str, *, seq: int, limit: int = 100) -> Sequence[Event]:
        """Events with a higher `Event.seq` than `seq`, oldest first."""
        get_owned_job(self._session, self._tenant, job_id)
        rows = self._session.scalars(
            select(tables.JobEvent)
            .where(tables.JobEvent.job_id == job_id, tables.JobEvent.seq > seq)
            .order_by(tables.JobEvent.seq)
            .limit(limit)
        )
        return [_event_of(row) for row in rows]

    def position(self, job_id: str) -> LogPosition:
        row = get_owned_job(self._session, self._tenant, job_id)
        return LogPosition(row.next_event_seq, JobStatus(row.status).is_terminal)


def log_positions(session: Session, job_ids: Collection[str]) -> dict[str, LogPosition]:
    """Positions of any tenants' jobs; the caller has checked who may see them. Jobs that do not exist are
    left out."""
    columns = select(tables.Job.id, tables.Job.next_event_seq, tables.Job.status)
    rows = session.execute(columns.where(tables.Job.id.in_(job_ids)))
    return {id: LogPosition(next_seq, JobStatus(status).is_terminal) for id, next_seq, status in rows}


def _event_of(row: tables.JobEvent) -> Event:
    return Event(
        id=row.id,
        job_id=row.job_id,
        seq=row.seq,
        level=cast(Any, row.level),
        type=cast(Any, row.type),
        message=row.message,
        data=row.data,
        created_at=row.created_at,
    )
