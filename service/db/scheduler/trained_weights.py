"""Keeps the weights of a finished run as one of its job's checkpoints."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.jobs import Finished
from cluster.storage.keys import AttemptKey, parse_key
from service.db import tables
from service.db.ids import new_id

_NO_METRICS = frozenset(
    {"learning_rate", "grad_norm", "total_steps", "tokens_per_second", "eta_seconds", "memory_bytes", "mfu"}
)
"""Fields of a step's event that are not metrics of a checkpoint."""


def list_trained_weights(session: Session, job: tables.Job, finished: Finished, *, at: float) -> str:
    """Lists the trained weights among the job's checkpoints, unless they are listed: weights chosen by early
    stopping may be older than the newest checkpoints, which are the listed ones. Returns the checkpoint's
    name. The caller holds the job's lock.

    Raises InvalidRequest if the weights are not a checkpoint of the job."""
    place = parse_key(finished.manifest_key)
    if not isinstance(place, AttemptKey) or place.job_id != job.id or place.step is None:
        raise InvalidRequest(
            f"{finished.manifest_key!r} is no checkpoint of job {job.id}.", param="manifest_key"
        )
    is_at_step = (tables.Checkpoint.job_id == job.id, tables.Checkpoint.step == place.step)
    listed = session.scalar(select(tables.Checkpoint).where(*is_at_step))
    if listed is None:
        listed = tables.Checkpoint(
            id=new_id("ftckpt_"),
            job_id=job.id,
            step=place.step,
            model_name=f"{job.output_model}:ckpt-step-{place.step}",
            metrics=_metrics(session, job.id, place.step),
            created_at=int(at),
        )
        session.add(listed)
    listed.manifest_key, listed.manifest_sha256 = finished.manifest_key, finished.manifest_sha256
    listed.form = finished.form
    session.flush()
    return listed.model_name


def _metrics(session: Session, job_id: str, step: int) -> dict[str, Any]:
    data = session.scalar(
        select(tables.JobEvent.data)
        .where(
            tables.JobEvent.job_id == job_id,
            tables.JobEvent.type == "metrics",
            tables.JobEvent.message.startswith(f"Step {step}/"),
        )
        .limit(1)
    )
    return {name: value for name, value in (data or {"step": step}).items() if name not in _NO_METRICS}
