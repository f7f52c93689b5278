"""How far jobs' logs have come: what one who follows them looks at, again and again."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus
from service.db import tables


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """Only grows."""

    next_seq: int
    """Of the event that comes next."""
    is_over: bool
    """The job has ended: none comes."""


def log_positions(session: Session, job_ids: Collection[str]) -> dict[str, LogPosition]:
    """Of any tenant's jobs: for those who have been checked. Jobs that do not exist are left out."""
    columns = select(tables.Job.id, tables.Job.next_event_seq, tables.Job.status)
    rows = session.execute(columns.where(tables.Job.id.in_(job_ids)))
    return {id: LogPosition(next_seq, JobStatus(status).is_terminal) for id, next_seq, status in rows}
