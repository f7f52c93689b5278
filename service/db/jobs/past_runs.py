"""Costs of finished jobs and sizes of unfinished ones, over all tenants: for estimates."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.costs import JobCost
from cluster.contracts.hyperparameters import Method, TrainingConfig
from service.db import tables
from service.db.jobs.jobs import Job

_RUNS_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class PastRun:
    method: Method
    config: TrainingConfig
    cost: JobCost


def past_runs(session: Session, base: str | None = None) -> list[PastRun]:
    """The newest runs with a known cost, of one base or of all bases, newest first."""
    of_base = () if base is None else (tables.Job.model == base,)
    rows = session.execute(
        select(tables.Job.method, tables.Job.config, tables.Job.cost)
        .where(*of_base, tables.Job.cost.is_not(None), tables.Job.finished_at.is_not(None))
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


@dataclass(frozen=True, slots=True)
class FileSize:
    bytes: int
    n_examples: int


def training_file_sizes(session: Session, jobs: Sequence[Job]) -> dict[str, FileSize]:
    """Sizes of the jobs' training files whose lines have been read, by file id."""
    file = tables.File
    rows = session.execute(
        select(file.id, file.bytes, file.n_examples).where(file.id.in_({job.training_file for job in jobs}))
    )
    return {id: FileSize(bytes, n_examples) for id, bytes, n_examples in rows if n_examples}
