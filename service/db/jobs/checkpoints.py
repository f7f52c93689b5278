"""Checkpoints of jobs."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.bases import WeightsForm
from service.db import tables
from service.db.jobs.owned_jobs import get_owned_job
from service.db.paging import Page, page
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class Checkpoint:
    id: str
    """`ftckpt_…`"""
    job_id: str
    step: int
    model_name: str
    """`<output_model>:ckpt-step-<step>`."""
    manifest_key: str
    manifest_sha256: str
    form: WeightsForm
    metrics: dict[str, Any]
    """Metrics by OpenAI's names: step, train_loss, …, full_valid_mean_token_accuracy. Absent if not
    measured."""
    created_at: int


class Checkpoints:
    """Checkpoints of one tenant's jobs."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def page(self, job_id: str, *, after: str | None = None, limit: int = 10) -> Page[Checkpoint]:
        """Newest first. `after` is a checkpoint's id.

        Raises NotFound if the job is not the tenant's, and InvalidRequest if it has no checkpoint `after`.
        """
        get_owned_job(self._session, self._tenant, job_id)
        statement = select(tables.Checkpoint).where(tables.Checkpoint.job_id == job_id)
        found = page(
            self._session,
            statement,
            key=(tables.Checkpoint.step,),
            after=after,
            cursors=statement,
            limit=limit,
        )
        return Page([_checkpoint_of(row) for row in found.data], found.has_more)


def _checkpoint_of(row: tables.Checkpoint) -> Checkpoint:
    return Checkpoint(
        id=row.id,
        job_id=row.job_id,
        step=row.step,
        model_name=row.model_name,
        manifest_key=row.manifest_key,
        manifest_sha256=row.manifest_sha256,
        form=cast(WeightsForm, row.form),
        metrics=row.metrics,
        created_at=row.created_at,
    )
