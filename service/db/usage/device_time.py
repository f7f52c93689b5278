"""The time for which training has held devices."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, or_, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import now
from service.db.jobs.workers import num_workers


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """A part of an attempt's time."""

    project_id: str
    api_key_id: str | None
    """Id of the key that created the job."""
    model: str
    """Alias of the base."""
    start: float
    end: float
    num_workers: int

    @property
    def device_seconds(self) -> float:
        return (self.end - self.start) * self.num_workers


def device_time(
    session: Session, owned: Sequence[ColumnElement[bool]], start: float, end: float
) -> Sequence[DeviceTime]:
    """The parts between `start` and `end` of the attempts of the jobs that satisfy all of `owned`. An attempt
    begins when it gets its devices: a waiting attempt holds none. An attempt that has not ended lasts until
    now."""
    until = min(end, now(session))
    job, attempt = tables.Job, tables.Attempt
    found = session.execute(
        select(
            job.project_id,
            job.api_key_id,
            job.model,
            attempt.started_at,
            attempt.ended_at,
            # Read for attempts of earlier releases only, because the documents are large.
            case((attempt.num_workers.is_(None), job.training)),
            case((attempt.num_workers.is_(None), job.config)),
            attempt.num_workers,
        )
        .join(attempt, attempt.job_id == job.id)
        .where(*owned, attempt.started_at < until, or_(attempt.ended_at.is_(None), attempt.ended_at > start))
    )
    return [
        DeviceTime(
            project_id,
            api_key_id,
            model,
            max(start, started_at),
            until if ended_at is None else min(until, ended_at),
            num_workers(training, config) if workers is None else workers,
        )
        for project_id, api_key_id, model, started_at, ended_at, training, config, workers in found
    ]
