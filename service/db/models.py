"""Tuned models, and the weights that their names stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import Conflict, NotFound
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import JobStatus
from cluster.contracts.provenance import Provenance
from cluster.contracts.weights import WeightsRef
from service.db import tables
from service.db.aliases import Aliases
from service.db.database import now
from service.db.tenancy import Tenant
from service.db.transitions import lock


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A published model or a checkpoint, by its name."""

    name: str
    """`ft:…`, or `ft:…:ckpt-step-N` for a checkpoint."""
    base: str
    """Alias of the base."""
    adapter: WeightsRef
    job_id: str
    created_at: int
    parity: dict[str, float] | None = None
    """max_abs and mean_abs: differences of log-probabilities between serving and training, measured before
    publishing. None for a checkpoint."""
    report: EvaluationReport | None = None
    provenance: Provenance | None = None
    parent: str | None = None
    """Name of the tuned model that its job started from."""


class TunedModels:
    """The tuned models of one tenant. Base models are in the catalogue, not in the database."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def list(self) -> Sequence[TunedModel]:
        """Newest first."""
        newest_first = self._visible().order_by(tables.Model.created_at.desc(), tables.Model.id.desc())
        return [_model_of(model, job) for model, job in self._session.execute(newest_first)]

    def resolve(self, name: str) -> TunedModel:
        """Finds a tuned model or one of its checkpoints (`…:ckpt-step-N`). Raises NotFound
        (`model_not_found`)."""
        return self._resolve_checkpoint(name) if ":ckpt-step-" in name else _model_of(*self._row(name))

    def resolve_and_lock(self, name: str) -> TunedModel:
        """Like `resolve`, and keeps the model, with all that belongs to it, from being deleted until the
        transaction ends."""
        job = select(tables.Job.id).where(tables.Job.id == self.resolve(name).job_id)
        self._session.execute(job.with_for_update(read=True))
        return self.resolve(name)

    def delete(self, name: str) -> None:
        """Deletes a model with its checkpoints, or a single checkpoint. Raises NotFound, and Conflict:
        `checkpoint_in_use` for a checkpoint whose job has not ended, `model_has_alias` for a model that an
        alias names."""
        # Whatever is removed of a job is removed under its lock.
        job = lock(self._session, self.resolve(name).job_id)
        self.resolve(name)
        assert job is not None
        Aliases(self._session, self._tenant).check_unnamed(name)
        checkpoints = delete(tables.Checkpoint).where(tables.Checkpoint.job_id == job.id)
        if ":ckpt-step-" not in name:
            self._row(name, for_update=True)[0].deleted_at = int(now(self._session))
        elif JobStatus(job.status).is_terminal:
            checkpoints = checkpoints.where(tables.Checkpoint.model_name == name)
        else:
            raise Conflict(
                f"Job {job.id} has not ended and may continue from its checkpoint '{name}'. Cancel the job "
                "or wait for its end.",
                code="checkpoint_in_use",
                param="model",
            )
        self._session.execute(checkpoints)

    def _resolve_checkpoint(self, name: str) -> TunedModel:
        """A checkpoint is usable as soon as it is listed, even if its job has not ended or has failed."""
        found = self._session.execute(
            select(tables.Checkpoint, tables.Job)
            .join(tables.Job, tables.Job.id == tables.Checkpoint.job_id)
            .where(
                tables.Checkpoint.model_name == name,
                tables.Job.organization_id == self._tenant.organization_id,
                tables.Job.project_id == self._tenant.project_id,
            )
        ).first()
        if found is None:
            raise _not_found(name)
        checkpoint, job = found
        return TunedModel(
            name,
            job.model,
            _adapter_of(checkpoint),
            checkpoint.job_id,
            checkpoint.created_at,
            **_origin_of(job),
        )

    def _visible(self) -> Select[tables.Model, tables.Job]:
        return (
            select(tables.Model, tables.Job)
            .outerjoin(tables.Job, tables.Job.id == tables.Model.job_id)
            .where(
                tables.Model.organization_id == self._tenant.organization_id,
                tables.Model.project_id == self._tenant.project_id,
                tables.Model.deleted_at.is_(None),
            )
        )

    def _row(self, id: str, *, for_update: bool = False) -> tuple[tables.Model, tables.Job | None]:
        statement = self._visible().where(tables.Model.id == id)
        if for_update:
            statement = statement.with_for_update(of=tables.Model)
        found = self._session.execute(statement).first()
        if found is None:
            raise _not_found(id)
        model, job = found
        return model, job


def _not_found(name: str) -> NotFound:
    return NotFound(
        f"The model '{name}' does not exist or you do not have access to it.",
        code="model_not_found",
        param="model",
    )


def _origin_of(job: tables.Job | None) -> dict[str, Any]:
    if job is None:
        return {}
    provenance = None if job.provenance is None else Provenance.model_validate(job.provenance)
    return {"provenance": provenance, "parent": job.training.get("from_checkpoint")}


def _model_of(row: tables.Model, job: tables.Job | None) -> TunedModel:
    return TunedModel(
        name=row.id,
        base=row.base,
        adapter=_adapter_of(row),
        job_id=row.job_id,
        created_at=row.created_at,
        parity=row.parity,
        report=None if row.report is None else EvaluationReport.model_validate(row.report),
        **_origin_of(job),
    )


def _adapter_of(row: tables.Model | tables.Checkpoint) -> WeightsRef:
    return WeightsRef(
        digest=row.manifest_sha256, manifest_key=row.manifest_key, form=cast(WeightsForm, row.form)
    )
