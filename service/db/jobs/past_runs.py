"""What finished jobs took, and which jobs are ahead in the queue: over all tenants, for estimates."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.costs import JobCost
from cluster.contracts.hyperparameters import Method, TrainingConfig
from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.jobs.jobs import Job, job_of

_RUNS_AT_MOST = 200
_JOBS_AT_MOST = 1000
_UNDER_WAY = (
    JobStatus.VALIDATING_FILES,
    JobStatus.QUEUED,
    JobStatus.STARTING,
    JobStatus.RUNNING,
    JobStatus.PUBLISHING,
    JobStatus.PAUSING,
)


@dataclass(frozen=True, slots=True)
class PastRun:
    method: Method
    config: TrainingConfig
    cost: JobCost


def past_runs(session: Session, base: str) -> list[PastRun]:
    """The newest runs of a base whose cost is known, the newest first."""
    rows = session.execute(
        select(tables.Job.method, tables.Job.config, tables.Job.cost)
        .where(tables.Job.model == base, tables.Job.cost.is_not(None), tables.Job.finished_at.is_not(None))
        .order_by(tables.Job.finished_at.desc())
        .limit(_RUNS_AT_MOST)
    )
    return [
        PastRun(
            (method or {}).get("type", "supervised"),
            TrainingConfig.model_validate(config),
            JobCost.model_validate(cost),
        )
        for method, config, cost in rows
        if config is not None and cost is not None
    ]


def jobs_ahead(session: Session) -> list[Job]:
    """The jobs that a new one would wait for: those that hold training slots, then the others, each oldest
    first."""
    rows = session.scalars(
        select(tables.Job)
        .where(tables.Job.status.in_([status.value for status in _UNDER_WAY]))
        .order_by(tables.Job.created_at, tables.Job.id)
        .limit(_JOBS_AT_MOST)
    )
    waiting = (JobStatus.VALIDATING_FILES, JobStatus.QUEUED)
    return sorted(map(job_of, rows), key=lambda job: job.status in waiting)
