"""Published tuned models, and what a model's name stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import NotFound
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.generation import AdapterRef
from service.db import tables
from service.db.database import now
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class TunedModel:
    id: str
    """The public name, `ft:…`."""
    tenant: Tenant
    job_id: str
    base: str
    """Alias of the base."""
    form: WeightsForm
    manifest_key: str
    manifest_sha256: str
    parity: dict[str, float] | None
    """max_abs and mean_abs: log-probability differences between serving and training at publish."""
    report: EvaluationReport | None
    created_at: int

    @property
    def adapter(self) -> AdapterRef:
        return AdapterRef(digest=self.manifest_sha256, manifest_key=self.manifest_key, form=self.form)


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What a tuned name stands for."""

    name: str
    base: str
    """Alias of the base."""
    adapter: AdapterRef
    job_id: str
    created_at: int
    parity: dict[str, float] | None = None
    report: EvaluationReport | None = None
    """Both of a published model; None for a checkpoint."""


class Models:
    """The tuned models of one tenant. Bases are the catalogue's, not the database's."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def list(self) -> Sequence[TunedModel]:
        """Newest first."""
        newest_first = self._visible().order_by(tables.Model.created_at.desc(), tables.Model.id.desc())
        return [_model_of(row) for row in self._session.scalars(newest_first)]

    def get(self, id: str) -> TunedModel:
        """Raises NotFound (`model_not_found`)."""
        return _model_of(self._row(id))

    def resolve(self, name: str) -> ResolvedModel:
        """Of a tuned model or one of its checkpoints (`…:ckpt-step-N`). Raises NotFound
        (`model_not_found`)."""
        if ":ckpt-step-" in name:
            return self._resolve_checkpoint(name)
        model = self.get(name)
        return ResolvedModel(
            name, model.base, model.adapter, model.job_id, model.created_at, model.parity, model.report
        )

    def delete(self, id: str) -> None:
        """A tombstone: the model and its checkpoints are absent from now on. Raises NotFound."""
        self._row(id, for_update=True).deleted_at = int(now(self._session))

    def _resolve_checkpoint(self, name: str) -> ResolvedModel:
        """Also of a job that has not ended, or that failed: a checkpoint is usable as soon as it is
        listed."""
        found = self._session.execute(
            select(tables.Checkpoint, tables.Job.model)
            .join(tables.Job, tables.Job.id == tables.Checkpoint.job_id)
            .outerjoin(tables.Model, tables.Model.job_id == tables.Job.id)
            .where(
                tables.Checkpoint.model_name == name,
                tables.Job.organization_id == self._tenant.organization_id,
                tables.Job.project_id == self._tenant.project_id,
                tables.Model.deleted_at.is_(None),
            )
        ).first()
        if found is None:
            raise _not_found(name)
        checkpoint, base = found
        adapter = AdapterRef(
            digest=checkpoint.manifest_sha256, manifest_key=checkpoint.manifest_key, form=checkpoint.form
        )
        return ResolvedModel(name, base, adapter, checkpoint.job_id, checkpoint.created_at)

    def _visible(self) -> Select[tables.Model]:
        return select(tables.Model).where(
            tables.Model.organization_id == self._tenant.organization_id,
            tables.Model.project_id == self._tenant.project_id,
            tables.Model.deleted_at.is_(None),
        )

    def _row(self, id: str, *, for_update: bool = False) -> tables.Model:
        statement = self._visible().where(tables.Model.id == id)
        row = self._session.scalar(statement.with_for_update() if for_update else statement)
        if row is None:
            raise _not_found(id)
        return row


def _not_found(name: str) -> NotFound:
    return NotFound(
        f"The model '{name}' does not exist or you do not have access to it.",
        code="model_not_found",
        param="model",
    )


def _model_of(row: tables.Model) -> TunedModel:
    return TunedModel(
        id=row.id,
        tenant=Tenant(row.organization_id, row.project_id),
        job_id=row.job_id,
        base=row.base,
        form=cast(WeightsForm, row.form),
        manifest_key=row.manifest_key,
        manifest_sha256=row.manifest_sha256,
        parity=row.parity,
        report=None if row.report is None else EvaluationReport.model_validate(row.report),
        created_at=row.created_at,
    )
