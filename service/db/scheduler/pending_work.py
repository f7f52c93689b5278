"""The pending work of all tenants, which the scheduler reads in each round.

Jobs that pause after a fault are left out until their pause is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus, Priority
from service.db import tables
from service.db.database import now
from service.db.jobs.jobs import Job, job_of
from service.db.jobs.publishing import WAITS_FOR_JOBS
from service.db.jobs.workers import num_workers
from service.db.maintenance import Maintenance, current_maintenance
from service.db.scheduler.pool_limits import pool_limits
from service.db.scheduler.queue_window import WaitingJob, done_share, planned_gangs, queue_window

WINDOW_PER_GROUP = 64
"""Number of queued jobs of each project, priority and gang shape that a tick looks at."""
_QUEUED_AT_MOST = 1000
_STEPS_AT_MOST = 100
"""Maximum number of jobs to validate or to publish. More would only wait in memory instead of in the
database."""

_TRIES = 3
"""A model whose publishing has failed this often will probably fail again, and no longer holds up jobs that
wait for its GPUs. Tries that only waited for GPUs or for a loading model do not count as failed."""
_PUBLISHING_SECONDS = 1800.0
"""A model also stops holding up jobs if it was not published within this time after jobs left its GPUs:
enough to load a large model and its base."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt for which Ray may still hold resources."""

    job_id: str
    number: int
    submission_id: str
    state: str
    """submitting, submitted, running or ended."""
    num_workers: int
    heartbeat_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Holding:
    """The devices that one attempt holds."""

    job_id: str
    number: int
    project_id: str
    priority: Priority
    queued_at: float
    """Since when the job has waited to run."""
    pool: str | None
    """None for an attempt of an earlier release."""
    workers: int
    nodes: Mapping[str, int]
    """Number of devices on each of Ray's nodes, as far as that is known."""
    started_at: float
    has_started: bool
    """Whether it has received its devices. Until then, they are only kept for it."""
    ends_at: float | None
    """Expected end."""
    saved_at: float
    """When the last resume state was saved: work after that would be repeated."""
    is_leaving: bool
    """Whether it is pausing or has ended."""
    sizes: tuple[int, ...] = ()
    """The numbers of workers that an elastic job may have in its pool, in descending order. Empty if there is
    no choice."""
    held_seconds: float = 0.0
    """Seconds for which earlier attempts have held devices since `queued_at`."""


@dataclass(frozen=True, slots=True)
class PendingWork:
    """The pending work. All lists are oldest first."""

    at: float
    """The time of reading, by the database's clock."""
    validating: list[Job]
    queued: list[WaitingJob]
    """The heads of the queue."""
    too_late: list[Job]
    """Jobs that did not start by their `start_by`."""
    publishing: list[Job]
    publishes_soon: bool
    """Whether a job is being published whose GPUs other jobs must leave alone: while it waits for jobs that
    hold them and for half an hour after that, unless its first few tries have failed."""
    attempts: list[Attempt]
    holdings: list[Holding]
    """Devices held by the attempts."""
    maintenance: Maintenance | None
    pool_limits: Mapping[str, int]
    """Devices that jobs may hold in each pool that an operator has limited."""


def pending_work(session: Session) -> PendingWork:
    at = now(session)
    unreleased = _unreleased(session)
    return PendingWork(
        at=at,
        validating=_jobs_in(session, JobStatus.VALIDATING_FILES, at),
        queued=queue_window(session, at, window_per_group=WINDOW_PER_GROUP, at_most=_QUEUED_AT_MOST),
        too_late=_too_late(session, at),
        publishing=_jobs_in(session, JobStatus.PUBLISHING, at),
        publishes_soon=_publishes_soon(session, at),
        attempts=[_attempt_of(row, job) for row, job in unreleased],
        holdings=[_holding_of(row, job) for row, job in unreleased],
        maintenance=current_maintenance(session),
        pool_limits=pool_limits(session),
    )


def _jobs_in(session: Session, status: JobStatus, at: float) -> list[Job]:
    """The first job of each project, then the second of each, and so on, so that waiting jobs of one project
    do not hold up those of another."""
    job = tables.Job
    age = (job.created_at, job.id)
    turn = func.row_number().over(partition_by=job.project_id, order_by=age).label("turn")
    # However many there are, all are sorted: so sort by few columns, and read whole rows only of the first
    # ones.
    first = (
        select(job.id, turn)
        .where(job.status == status.value, _is_due(at))
        .order_by(turn, *age)
        .limit(_STEPS_AT_MOST)
        .subquery()
    )
    rows = session.scalars(select(job).join(first, first.c.id == job.id).order_by(first.c.turn, *age))
    return [job_of(row) for row in rows]


def _publishes_soon(session: Session, at: float) -> bool:
    job = tables.Job
    # Earlier releases did not record the waits.
    waits = func.coalesce(job.publishing["waits"].as_integer(), 0)
    waits_for_jobs = job.publishing["fault", "code"].as_string() == WAITS_FOR_JOBS
    since = func.coalesce(job.publishing["waited_until"].as_float(), job.publishing["since"].as_float())
    coming = (
        select(job.id)
        .where(job.status == JobStatus.PUBLISHING.value)
        .where(or_(waits_for_jobs, since > at - _PUBLISHING_SECONDS))
        .where(job.publishing["tries"].as_integer() - waits < _TRIES)
        .limit(1)
    )
    return session.scalar(coming) is not None


def _too_late(session: Session, at: float) -> list[Job]:
    waiting = (JobStatus.VALIDATING_FILES.value, JobStatus.QUEUED.value)
    rows = session.scalars(
        select(tables.Job)
        .where(tables.Job.status.in_(waiting), tables.Job.start_by <= at, tables.Job.attempt == 0)
        .limit(_STEPS_AT_MOST)
    )
    return [job_of(row) for row in rows]


def _is_due(at: float) -> ColumnElement[bool]:
    return or_(tables.Job.retry_at.is_(None), tables.Job.retry_at <= at)


def _unreleased(session: Session) -> list[tuple[tables.Attempt, tables.Job]]:
    rows = session.execute(
        select(tables.Attempt, tables.Job)
        .join(tables.Job, tables.Job.id == tables.Attempt.job_id)
        .where(tables.Attempt.released_at.is_(None))
        .order_by(tables.Attempt.created_at)
    )
    return list(rows.tuples())


def _attempt_of(row: tables.Attempt, job: tables.Job) -> Attempt:
    return Attempt(
        job_id=row.job_id,
        number=row.number,
        submission_id=row.submission_id,
        state=row.state,
        num_workers=devices_of(row, job),
        heartbeat_at=row.heartbeat_at,
        ended_at=row.ended_at,
    )


def _holding_of(row: tables.Attempt, job: tables.Job) -> Holding:
    is_newest = row.number == job.attempt
    started_at = row.created_at if row.started_at is None else row.started_at
    saved_at = job.resume_saved_at if is_newest else None
    return Holding(
        job_id=row.job_id,
        number=row.number,
        project_id=job.project_id,
        priority=cast(Any, job.priority),
        queued_at=job.queued_at,
        held_seconds=job.held_seconds,
        pool=row.pool,
        workers=devices_of(row, job),
        nodes=row.nodes or {},
        started_at=started_at,
        has_started=row.started_at is not None,
        ends_at=_expected_end(job, row.pool, started_at, devices_of(row, job)),
        saved_at=max(started_at, saved_at or 0.0),
        is_leaving=row.state == "ended" or not is_newest or job.status == JobStatus.PAUSING,
        sizes=_sizes(job, row.pool),
    )


def _sizes(job: tables.Job, pool: str | None) -> tuple[int, ...]:
    gangs = [gang for gang in planned_gangs(job.gangs) if gang.smaller and gang.pool in (None, pool)]
    return (gangs[0].workers, *gangs[0].smaller) if gangs else ()


def _expected_end(job: tables.Job, pool: str | None, started_at: float, workers: int) -> float | None:
    """Expected end by the job's speed, if that is known, otherwise by the duration of similar runs."""
    if job.estimated_finish is not None:
        return job.estimated_finish
    gangs = planned_gangs(job.gangs)
    # For an attempt in a pool for which the job was not planned, there is only a guess.
    gang = next((gang for gang in gangs if gang.pool in (None, pool)), gangs[0])
    if gang.seconds is None:
        return None
    seconds = gang.seconds * gang.workers / workers if workers in gang.smaller else gang.seconds
    return started_at + seconds * (1 - done_share(job.resume_step, job.progress))


def devices_of(attempt: tables.Attempt, job: tables.Job) -> int:
    return num_workers(job.training, job.config) if attempt.num_workers is None else attempt.num_workers
