"""Positions of queued jobs in the queue, which all tenants share.

The scheduler decides about the heads of the queue, and records every few seconds the position of each of them
and why it waits. Jobs further behind are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from cluster.contracts.jobs import PRIORITIES, JobStatus
from service.db import tables
from service.db.database import now
from service.db.jobs.jobs import Job
from service.db.transitions import NewEvent, add_events, lock

_TELL_SECONDS = 60.0
"""Shortest time between two events about why a job waits."""
_EVENTS_AT_MOST = 100
"""Maximum number of events in one transaction. The rest follow with the next one."""
_SAME_SECONDS = 30.0
"""An expected time that changes by less than this is not worth a write."""
_LATE = ", late"
"""Appended to the reason in `told` once the owner has been warned that the job will start after its
start_by."""
_BACKING_OFF = "After a fault, it is tried again once its pause is over."
_PENDING = "The scheduler has not looked at it yet: jobs that come earlier have their turn first."


@dataclass(frozen=True, slots=True)
class Place:
    """What the scheduler has decided about a waiting job."""

    job_id: str
    position: int
    """Position over all projects, counted from 1."""
    reason: str
    message: str
    """A clause for the job's owner, ending with a full stop."""
    starts_at: float | None
    ends_at: float | None
    """Expected time. None if that is not known."""


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """A job's place as its owner sees it."""

    position: int
    reason: str
    message: str
    estimated_start: int | None
    estimated_finish: int | None
    retry_at: int | None
    """Because of a fault, the job is not started before this time. None without a fault."""


def record_places(session: Session, places: Sequence[Place], *, at: float) -> None:
    """Replaces the recorded places. A job gets an event if its reason is new, or if it is expected after its
    start_by for the first time, but at most one event per minute."""
    table = tables.QueuePlace
    rows = {row.job_id: row for row in session.scalars(select(table))}
    start_by = _start_by(session)
    news: list[Place] = []
    for place in places:
        row = rows.pop(place.job_id, None)
        if row is None:
            row = table(job_id=place.job_id, told="", told_at=0.0)
            session.add(row)
            _set(row, place)
        elif _differs(row, place, at):
            _set(row, place)
        told = _told(row.told, place, is_late=_is_late(place, start_by.get(place.job_id)))
        if row.told != told and at - row.told_at >= _TELL_SECONDS and len(news) < _EVENTS_AT_MOST:
            row.told, row.told_at = told, at
            news.append(place)
    for row in rows.values():
        session.delete(row)
    session.flush()
    # Everyone who locks several jobs does so in this order.
    for place in sorted(news, key=lambda place: place.job_id):
        _tell(session, place, at)


def queue_places(session: Session, jobs: Sequence[Job]) -> dict[str, QueuePlace]:
    """Places of those of the jobs that are queued, by job id. The caller has checked who may see the jobs."""
    queued = [job for job in jobs if job.status is JobStatus.QUEUED]
    if not queued:
        return {}
    at, table = now(session), tables.QueuePlace
    rows = session.scalars(select(table).where(table.job_id.in_([job.id for job in queued])))
    places = {row.job_id: row for row in rows}
    far = [job for job in queued if job.id not in places]
    ahead = _num_ahead(session, far)
    return {
        job.id: _place(job, places[job.id], at)
        if job.id in places
        else _far_place(job, 1 + ahead[job.id], at)
        for job in queued
    }


def _start_by(session: Session) -> dict[str, int | None]:
    """The `start_by` of each queued job that has one, by job id."""
    job = tables.Job
    found = select(job.id, job.start_by).where(
        job.status == JobStatus.QUEUED.value, job.start_by.is_not(None)
    )
    return dict(session.execute(found).tuples().all())


def _is_late(place: Place, start_by: int | None) -> bool:
    return start_by is not None and place.starts_at is not None and place.starts_at > start_by


def _told(before: str, place: Place, *, is_late: bool) -> str:
    """What the owner has been told after an event about this place: the warning is given only once."""
    return place.reason + (_LATE if is_late or before.endswith(_LATE) else "")


def _set(row: tables.QueuePlace, place: Place) -> None:
    row.position, row.reason, row.message = place.position, place.reason, place.message
    row.starts_at, row.ends_at = place.starts_at, place.ends_at


def _differs(row: tables.QueuePlace, place: Place, at: float) -> bool:
    if (row.position, row.reason, row.message) != (place.position, place.reason, place.message):
        return True
    pairs = ((row.starts_at, place.starts_at), (row.ends_at, place.ends_at))
    return any(
        (before is None) != (after is None)
        or (before is not None and after is not None and abs(before - after) > _near(after - at))
        for before, after in pairs
    )


def _near(seconds: float) -> float:
    return max(_SAME_SECONDS, seconds / 20)


def _tell(session: Session, place: Place, at: float) -> None:
    job = lock(session, place.job_id)
    if job is None or job.status != JobStatus.QUEUED:
        return
    is_late = _is_late(place, job.start_by)
    message = f"Waiting: {place.message}"
    if is_late:
        message += " It is expected to start after its start_by, and then fails."
    data = {
        "reason": place.reason,
        "position": place.position,
        "estimated_start": None if place.starts_at is None else int(place.starts_at),
    }
    add_events(session, job, [NewEvent(message, level="warn" if is_late else "info", data=data)], at=at)


def _place(job: Job, row: tables.QueuePlace, at: float) -> QueuePlace:
    retry_at = _retry_at(job, at)
    return QueuePlace(
        position=row.position,
        reason=row.reason if retry_at is None else "backing_off",
        message=row.message[:1].upper() + row.message[1:] if retry_at is None else _BACKING_OFF,
        estimated_start=_later(row.starts_at, at),
        estimated_finish=_later(row.ends_at, at),
        retry_at=retry_at,
    )


def _far_place(job: Job, position: int, at: float) -> QueuePlace:
    retry_at = _retry_at(job, at)
    reason, message = ("pending", _PENDING) if retry_at is None else ("backing_off", _BACKING_OFF)
    return QueuePlace(position, reason, message, None, None, retry_at)


def _retry_at(job: Job, at: float) -> int | None:
    return None if job.retry_at is None or job.retry_at <= at else int(job.retry_at)


def _later(expected: float | None, at: float) -> int | None:
    """Replaces a time in the past by now: the job is then expected soon."""
    return None if expected is None else int(max(expected, at))


def _counts(session: Session) -> dict[str, int]:
    """Number of queued jobs by priority."""
    table = tables.Job
    counted = select(table.priority, func.count()).where(table.status == JobStatus.QUEUED.value)
    return dict(session.execute(counted.group_by(table.priority)).tuples().all())


def _num_ahead(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """Number of jobs ahead of each job: queued jobs of a higher priority, and older ones of the same
    priority. This is an estimate, because the order within a priority also depends on what projects have
    used."""
    counts = _counts(session) if jobs else {}
    ahead = {}
    for place, priority in enumerate(PRIORITIES):
        older = sum(counts.get(higher, 0) for higher in PRIORITIES[place + 1 :])
        before: Job | None = None
        # Each count continues where the last one ended, so that together they read the queue once.
        for job in sorted((each for each in jobs if each.priority == priority), key=_age):
            older += _num_between(session, before, job)
            ahead[job.id], before = older, job
    return ahead


def _age(job: Job) -> tuple[float, str]:
    return job.queued_at, job.id


def _num_between(session: Session, first: Job | None, end: Job) -> int:
    """Number of queued jobs of one priority from `first`, or from the oldest, up to but excluding `end`."""
    table = tables.Job
    age = tuple_(table.queued_at, table.id)
    counted = select(func.count()).where(
        table.status == JobStatus.QUEUED.value,
        table.priority == end.priority,
        # The index starts with the time.
        table.queued_at <= end.queued_at,
        age < tuple_(*_age(end)),
    )
    if first is not None:
        counted = counted.where(table.queued_at >= first.queued_at, age >= tuple_(*_age(first)))
    return session.scalar(counted) or 0
