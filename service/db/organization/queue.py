"""The queue and the devices, as administrators see them."""

from collections.abc import Sequence

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import PRIORITIES, JobStatus
from service.db import tables
from service.db.jobs.jobs import Job, job_of
from service.db.paging import Page
from service.db.scheduler.pending_work import devices_of


def queued_jobs(session: Session, organization_id: str, *, limit: int) -> Page[Job]:
    """Queued jobs of the organization's projects, in the expected order of their starts."""
    job, place = tables.Job, tables.QueuePlace
    rank = case({priority: number for number, priority in enumerate(PRIORITIES)}, value=job.priority)
    rows = session.scalars(
        select(job)
        .outerjoin(place, place.job_id == job.id)
        .where(job.organization_id == organization_id, job.status == JobStatus.QUEUED.value)
        .order_by(place.position.is_(None), place.position, rank.desc(), job.queued_at, job.id)
        .limit(limit + 1)
    ).all()
    return Page([job_of(row) for row in rows[:limit]], len(rows) > limit)


def num_queued(session: Session) -> int:
    """Number of queued jobs of all organizations."""
    counted = select(func.count()).where(tables.Job.status == JobStatus.QUEUED.value)
    return session.scalar(counted) or 0


def held_devices(session: Session) -> Sequence[tuple[str | None, int]]:
    """The pool and the number of devices of every attempt that holds devices, over all organizations. The
    pool is None for attempts of earlier releases."""
    attempt, job = tables.Attempt, tables.Job
    rows = session.execute(
        select(attempt, job).join(job, job.id == attempt.job_id).where(attempt.released_at.is_(None))
    )
    return [(row.pool, devices_of(row, of)) for row, of in rows.tuples()]
