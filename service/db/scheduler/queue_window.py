"""The window of the queue that a tick reads: the oldest queued jobs of each project, priority and gang shape.

Jobs of one shape can start in the same places. So jobs that fit nowhere now, however many, do not hide later
jobs that fit elsewhere.

However long the queue is, reading the window takes a few index lookups for each returned job: a recursive
query walks the index `ix_jobs_queue_heads`, and skips the rest of a group's jobs. Neither database would do
so by itself.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    Integer,
    ScalarSelect,
    Select,
    and_,
    bindparam,
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
    """None for any pool: the job's memory needs are not known."""
    workers: int
    seconds: float | None
    """Expected time from start to end. None if nothing like it has run yet."""
    smaller: tuple[int, ...] = ()
    """Smaller numbers of workers with which an elastic job may run, in descending order."""

    @property
    def fewest(self) -> int:
        return self.smaller[-1] if self.smaller else self.workers


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that is ready to run."""

    job_id: str
    project_id: str
    priority: Priority
    queued_at: float
    gangs: tuple[PlannedGang, ...]
    """One for each pool that the job fits, cheapest first."""
    done: float
    """Share of its steps that its resume state contains."""
    start_by: int | None
    was_displaced: bool
    """Whether it has been paused to make room for another job."""
    held_seconds: float = 0.0
    """Seconds for which the job has had devices since `queued_at`."""
    resize_to: int | None = None
    """The number of workers with which an elastic job continues, if it was paused only for that."""


def queue_window(session: Session, at: float, *, window_per_group: int, at_most: int) -> list[WaitingJob]:
    """Up to `window_per_group` jobs of each project, priority and gang shape: the oldest of each, then the
    second oldest, and so on. At most `at_most` in total, but at least one for each. Jobs that pause after a
    fault are left out, and do not take another job's place."""
    rows = session.execute(_window(), {"at": at, "window_per_group": window_per_group, "at_most": at_most})
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


def gang_shape(gangs: Sequence[PlannedGang]) -> str:
    """Equal for jobs that fit the same pools with the same minimum of workers in each. Empty for a job that
    was never planned. It is a digest, because the length of indexed text is limited."""
    if not gangs:
        return ""
    needs = sorted({(gang.pool or "", gang.fewest) for gang in gangs})
    return sha256(json.dumps(needs).encode()).hexdigest()[:16]


def planned_gangs(stored: list[Any] | None) -> tuple[PlannedGang, ...]:
    return tuple(
        PlannedGang(gang["pool"], gang["workers"], gang["seconds"], tuple(gang.get("smaller", ())))
        for gang in stored or _ANYWHERE
    )


def done_share(resume_step: int, progress: dict[str, Any] | None) -> float:
    """Returns 0 for a job without progress."""
    total = (progress or {}).get("total_steps") or 0
    return min(1.0, resume_step / total) if total else 0.0


@lru_cache(maxsize=1)
def _window() -> Select[Any]:
    """Built only once, because composing the query takes longer than running it."""
    job, heads = tables.Job, _heads()
    walked = _walk(heads)
    num_groups = select(func.count()).select_from(heads).scalar_subquery()
    at_most = bindparam("at_most", type_=Integer)
    first = select(walked.c.id).limit(case((num_groups > at_most, num_groups), else_=at_most)).subquery()
    return (
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
        .join(first, first.c.id == job.id)
        .order_by(job.queued_at, job.id)
    )


def _heads() -> CTE:
    """The oldest job of each group."""
    job, then = aliased(tables.Job), aliased(tables.Job)
    heads = (
        select(job.id, job.project_id, job.priority, job.gang_shape, job.queued_at)
        .where(job.id == _next(lambda _: true()))
        .cte("heads", recursive=True)
    )
    here = heads.c
    # An index serves only one range condition, after columns with equal values.
    following = func.coalesce(
        _next(
            lambda job: and_(
                job.project_id == here.project_id,
                job.priority == here.priority,
                job.gang_shape > here.gang_shape,
            )
        ),
        _next(lambda job: and_(job.project_id == here.project_id, job.priority > here.priority)),
        _next(lambda job: job.project_id > here.project_id),
    )
    return heads.union_all(
        select(then.id, then.project_id, then.priority, then.gang_shape, then.queued_at)
        .select_from(heads)
        .join(then, then.id == following)
    )


def _walk(heads: CTE) -> CTE:
    """The first jobs of each group. Both databases find the second job of all groups before the third of any,
    and stop when no more are requested."""
    walked = select(heads, literal(1).label("place")).cte("walked", recursive=True)
    here, then = walked.c, aliased(tables.Job)
    return walked.union_all(
        select(then.id, then.project_id, then.priority, then.gang_shape, then.queued_at, here.place + 1)
        .select_from(walked)
        .join(then, then.id == _next(lambda job: _is_behind(job, here)))
        .where(here.place < bindparam("window_per_group", type_=Integer))
    )


def _next(is_after: Callable[[Any], ColumnElement[bool]]) -> ScalarSelect[str]:
    """The id of the first job in the index that satisfies the condition and may be tried."""
    job = aliased(tables.Job)
    is_due = or_(job.retry_at.is_(None), job.retry_at <= bindparam("at", type_=Float))
    found = (
        select(job.id)
        .where(job.status == JobStatus.QUEUED.value, is_due, is_after(job))
        .order_by(job.project_id, job.priority, job.gang_shape, job.queued_at, job.id)
        .limit(1)
    )
    return found.scalar_subquery()


def _is_behind(job: Any, here: Any) -> ColumnElement[bool]:
    """Whether the job comes later in the same group."""
    return and_(
        job.project_id == here.project_id,
        job.priority == here.priority,
        job.gang_shape == here.gang_shape,
        job.queued_at >= here.queued_at,
        or_(job.queued_at > here.queued_at, job.id > here.id),
    )
