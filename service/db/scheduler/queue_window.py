"""The window of the queue that a tick reads: the oldest queued jobs of each project and priority.

However long the queue is, reading them takes a few index lookups for each job that is returned: a recursive
query walks the index `ix_jobs_queue`, and jumps over the rest of a project's jobs of one priority. Neither
database would do so by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    ScalarSelect,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased

from cluster.contracts.jobs import JobStatus, Priority
from service.db import tables

_ANYWHERE: list[dict[str, Any]] = [{"pool": None, "workers": 1, "seconds": None}]
"""Gangs of a job that was never planned."""


@dataclass(frozen=True, slots=True)
class PlannedGang:
    pool: str | None
    """None for any pool: the job's memory is not known."""
    workers: int
    seconds: float | None
    """Expected from start to end. None if nothing like it has run yet."""
    smaller: tuple[int, ...] = ()
    """Fewer workers with which an elastic job may run, the most first."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that is ready to run."""

    job_id: str
    project_id: str
    priority: Priority
    queued_at: float
    gangs: tuple[PlannedGang, ...]
    """One for each pool that it fits, the cheapest first."""
    done: float
    """Share of its steps that are in its resume state."""
    start_by: int | None
    was_displaced: bool
    """Whether it has been paused for the sake of another job."""
    held_seconds: float = 0.0
    """Seconds that the job has had devices since `queued_at`."""
    resize_to: int | None = None
    """The workers that an elastic job goes on with, which was paused only for that."""


def queue_window(session: Session, at: float, *, window_per_group: int, at_most: int) -> list[WaitingJob]:
    """Up to `window_per_group` jobs of each project and priority, but at most `at_most` in all if that
    leaves one for each. Jobs that pause after a fault are left out."""
    groups = session.scalar(select(func.count()).select_from(_walk(1))) or 1
    walked = _walk(max(1, min(window_per_group, at_most // groups)))
    job = tables.Job
    rows = session.execute(
        select(
            job.id,
            job.project_id,
            job.priority,
            job.queued_at,
            job.held_seconds,
            job.gangs,
            job.resume_step,
            job.progress,
            job.start_by,
            job.displacements,
            job.resize_to,
        )
        .join(walked, walked.c.id == job.id)
        .where(or_(job.retry_at.is_(None), job.retry_at <= at))
        .order_by(job.queued_at, job.id)
    )
    return [
        WaitingJob(
            job_id=row.id,
            project_id=row.project_id,
            priority=row.priority,
            queued_at=row.queued_at,
            held_seconds=row.held_seconds,
            gangs=planned_gangs(row.gangs),
            done=done_share(row.resume_step, row.progress),
            start_by=row.start_by,
            was_displaced=row.displacements > 0,
            resize_to=row.resize_to,
        )
        for row in rows
    ]


def planned_gangs(stored: list[Any] | None) -> tuple[PlannedGang, ...]:
    return tuple(
        PlannedGang(gang["pool"], gang["workers"], gang["seconds"], tuple(gang.get("smaller", ())))
        for gang in stored or _ANYWHERE
    )


def done_share(resume_step: int, progress: dict[str, Any] | None) -> float:
    """0 for a job without progress."""
    total = (progress or {}).get("total_steps") or 0
    return min(1.0, resume_step / total) if total else 0.0


@lru_cache(maxsize=16)
def _walk(window_per_group: int) -> CTE:
    """Ids, in the order of the index, of the first `window_per_group` jobs of each project and priority.
    Composing the query takes longer than running it, and ticks ask for few different numbers."""
    job = aliased(tables.Job)
    walked = (
        select(job.id, job.project_id, job.priority, job.queued_at, literal(1).label("place"))
        .where(job.id == _next(lambda _: true()))
        .cte("walked", recursive=True)
    )
    here, then = walked.c, aliased(tables.Job)
    # An index serves one range, after columns with equal values.
    following = func.coalesce(
        case((here.place < window_per_group, _next(lambda job: _is_behind(job, here)))),
        _next(lambda job: and_(job.project_id == here.project_id, job.priority > here.priority)),
        _next(lambda job: job.project_id > here.project_id),
    )
    is_same = and_(then.project_id == here.project_id, then.priority == here.priority)
    step = (
        select(
            then.id,
            then.project_id,
            then.priority,
            then.queued_at,
            case((is_same, here.place + 1), else_=1),
        )
        .select_from(walked)
        .join(then, then.id == following)
    )
    return walked.union_all(step)


def _next(is_after: Callable[[Any], ColumnElement[bool]]) -> ScalarSelect[str]:
    """The id of the first job in the index for which the condition holds."""
    job = aliased(tables.Job)
    found = (
        select(job.id)
        .where(job.status == JobStatus.QUEUED.value, is_after(job))
        .order_by(*_order(job))
        .limit(1)
    )
    return found.scalar_subquery()


def _is_behind(job: Any, here: Any) -> ColumnElement[bool]:
    """Whether the job comes later in the same project and priority."""
    return and_(
        job.project_id == here.project_id,
        job.priority == here.priority,
        job.queued_at >= here.queued_at,
        or_(job.queued_at > here.queued_at, job.id > here.id),
    )


def _order(job: Any) -> tuple[Any, ...]:
    return job.project_id, job.priority, job.queued_at, job.id
