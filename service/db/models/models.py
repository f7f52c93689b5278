"""Tuned models, and the weights behind their names."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, load_only

from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import Conflict, NotFound, PermissionDenied
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import JobStatus
from cluster.contracts.parity import Parity
from cluster.contracts.provenance import Provenance
from cluster.contracts.weights import WeightsRef
from service.db import tables
from service.db.database import now
from service.db.models.aliases import Aliases, is_alias
from service.db.organization.audit_log import record
from service.db.retention.holds import check_model_not_held
from service.db.tenancy import Tenant
from service.db.transitions import lock

_PERMISSION = tables.CheckpointPermission
_ORIGIN = load_only(
    tables.Job.organization_id,
    tables.Job.project_id,
    tables.Job.model,
    tables.Job.provenance,
    tables.Job.training,
)
"""The columns of its job that a model shows. There may be thousands of models, and a job's row is large."""


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A published model or a checkpoint, by its name."""

    name: str
    """`ft:…`, or `ft:…:ckpt-step-N` for a checkpoint."""
    base: str
    """Alias of the base."""
    adapter: WeightsRef
    job_id: str | None
    """None for an imported model."""
    owner: Tenant
    created_at: int
    parity: Parity | None = None
    """Measured before publishing. None for a checkpoint, an imported model, and a model that was published
    without the gate."""
    report: EvaluationReport | None = None
    provenance: Provenance | None = None
    parent: str | None = None
    """Name of the tuned model that its job started from."""
    import_id: str | None = None
    """None for a model that a job produced."""


class TunedModels:
    """The tuned models that one tenant may use: its own, and those that other projects of its organization
    share with it. Base models are in the catalogue, not in the database."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def list(self) -> Sequence[TunedModel]:
        """Newest first. Includes a checkpoint only if it is shared with this tenant."""
        is_own = tables.Model.project_id == self._tenant.project_id
        is_permitted = tables.Model.id.in_(self._permitted(_PERMISSION.model_id))
        # Two queries, each of which uses an index: a single one would read all models of the organization.
        models = [
            _model_of(*row)
            for some in (is_own, is_permitted & ~is_own)
            for row in self._session.execute(self._models().where(some))
        ]
        is_shared = tables.Checkpoint.id.in_(self._permitted(_PERMISSION.checkpoint_id))
        shared = self._checkpoints().where(is_shared)
        models += [_checkpoint_of(*row) for row in self._session.execute(shared)]
        return sorted(models, key=lambda model: (model.created_at, model.name), reverse=True)

    def resolve(self, name: str) -> TunedModel:
        """Finds a tuned model or one of its checkpoints (`…:ckpt-step-N`). Raises NotFound
        (`model_not_found`)."""
        return self._resolve_checkpoint(name) if ":ckpt-step-" in name else _model_of(*self._row(name))

    def named(self, name: str, bases: Container[str]) -> TunedModel | str:
        """Finds what the `model` of a request names, possibly through an alias: a tuned model or a
        checkpoint, or one of the `bases`, by its name. A model's own name is never an alias. Raises NotFound
        (`model_not_found`)."""
        if name in bases:
            return name
        if not is_alias(name) and (own := self._find(name)) is not None:
            return own
        model = Aliases(self._session, self._tenant).resolve(name)
        if model in bases:
            return model
        found = self._find(model)
        if found is not None:
            return found
        if model == name:
            raise model_not_found(name)
        raise NotFound(
            f"The alias '{name}' names the model '{model}', which does not exist any more or is no "
            "longer shared with this project. Let the alias name another model.",
            code="model_not_found",
            param="model",
        )

    def own_name(self, name: str) -> str:
        """Returns the name of the model that an alias names; returns any other name unchanged, whether or not
        a model or base has it. Raises NotFound (`model_not_found`) for a name that can only be an alias and
        does not exist."""
        if not is_alias(name) and self._find(name) is not None:
            return name
        return Aliases(self._session, self._tenant).resolve(name)

    def check_no_model(self, alias: str, bases: Container[str]) -> None:
        """Raises Conflict (`name_of_model`) if a base, a tuned model or a checkpoint has this name itself."""
        if alias in bases or self._find(alias) is not None:
            raise Conflict(
                f"'{alias}' is a model's own name, which cannot become an alias.",
                code="name_of_model",
                param="alias",
            )

    def resolve_all(self, names: Iterable[str]) -> dict[str, TunedModel]:
        """Finds many tuned models and checkpoints in two queries, by name. Leaves out those that do not
        exist."""
        wanted = set(names)
        models = self._visible().where(tables.Model.id.in_(wanted))
        checkpoints = self._checkpoints().where(tables.Checkpoint.model_name.in_(wanted))
        found = [_model_of(*row) for row in self._session.execute(models)]
        found += [_checkpoint_of(*row) for row in self._session.execute(checkpoints)]
        return {model.name: model for model in found}

    def resolve_and_lock(self, name: str) -> TunedModel:
        """Like `resolve`, but also keeps the model and everything that belongs to it from being deleted until
        the transaction ends. If you lock the tenant's project too, lock it first."""
        found = self.resolve(name)
        if found.job_id is None:
            owner: Select[Any] = select(tables.Model).where(tables.Model.id == found.name)
        else:
            owner = select(tables.Job).where(tables.Job.id == found.job_id)
        self._session.scalar(owner.with_for_update(read=True))
        return self.resolve(name)

    def delete(self, name: str) -> None:
        """Deletes a model with its checkpoints, or a single checkpoint, and the permissions to use them.
        Raises NotFound, PermissionDenied for a model of another project, and Conflict: `checkpoint_in_use`
        for a checkpoint whose job has not ended, `model_has_alias` for a model that an alias names,
        `legal_hold` for one that is held."""
        found = self.resolve(name)
        record(self._session, self._tenant, "model.deleted", name)
        if found.owner != self._tenant:
            raise PermissionDenied(
                f"The model '{name}' is shared with your project, and only its own project can delete it.",
                param="model",
            )
        if found.job_id is None:
            row, _ = self._row(name, for_update=True)
            check_model_not_held(self._session, found.owner.project_id, name, None)
            Aliases(self._session, self._tenant).check_unnamed(name)
            row.deleted_at = int(now(self._session))
            self._session.execute(delete(_PERMISSION).where(_PERMISSION.model_id == name))
            return
        # Anything of a job is removed only under the job's lock.
        job = lock(self._session, found.job_id)
        self.resolve(name)
        assert job is not None
        check_model_not_held(self._session, found.owner.project_id, name, job.id)
        Aliases(self._session, self._tenant).check_unnamed(name)
        checkpoints = delete(tables.Checkpoint).where(tables.Checkpoint.job_id == job.id)
        if ":ckpt-step-" not in name:
            self._row(name, for_update=True)[0].deleted_at = int(now(self._session))
            self._session.execute(delete(_PERMISSION).where(_PERMISSION.model_id == name))
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

    def _find(self, name: str) -> TunedModel | None:
        try:
            return self.resolve(name)
        except NotFound:
            return None

    def _resolve_checkpoint(self, name: str) -> TunedModel:
        """A checkpoint is usable as soon as it is listed, even if its job has not ended or has failed."""
        named = self._checkpoints().where(tables.Checkpoint.model_name == name)
        found = self._session.execute(named).first()
        if found is None:
            raise model_not_found(name)
        return _checkpoint_of(*found)

    def _visible(self) -> Select[tables.Model, tables.Job]:
        is_permitted = tables.Model.id.in_(self._permitted(_PERMISSION.model_id))
        return self._models().where(or_(tables.Model.project_id == self._tenant.project_id, is_permitted))

    def _models(self) -> Select[tables.Model, tables.Job]:
        """Selects the organization's models, with their jobs."""
        return (
            select(tables.Model, tables.Job)
            .outerjoin(tables.Job, tables.Job.id == tables.Model.job_id)
            .options(_ORIGIN)
            .where(
                tables.Model.organization_id == self._tenant.organization_id,
                tables.Model.deleted_at.is_(None),
            )
        )

    def _checkpoints(self) -> Select[tables.Checkpoint, tables.Job]:
        is_permitted = tables.Checkpoint.id.in_(self._permitted(_PERMISSION.checkpoint_id))
        return (
            select(tables.Checkpoint, tables.Job)
            .join(tables.Job, tables.Job.id == tables.Checkpoint.job_id)
            .options(_ORIGIN)
            .where(
                tables.Job.organization_id == self._tenant.organization_id,
                or_(tables.Job.project_id == self._tenant.project_id, is_permitted),
            )
        )

    def _permitted(self, column: InstrumentedAttribute[str | None]) -> Select[str | None]:
        """Ids of the models or checkpoints that other projects share with this one."""
        return select(column).where(_PERMISSION.project_id == self._tenant.project_id, column.is_not(None))

    def _row(self, id: str, *, for_update: bool = False) -> tuple[tables.Model, tables.Job | None]:
        statement = self._visible().where(tables.Model.id == id)
        if for_update:
            statement = statement.with_for_update(of=tables.Model)
        found = self._session.execute(statement).first()
        if found is None:
            raise model_not_found(id)
        model, job = found
        return model, job


def model_not_found(name: str) -> NotFound:
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
        import_id=row.import_id,
        owner=Tenant(row.organization_id, row.project_id),
        created_at=row.created_at,
        parity=None if row.parity is None else Parity.model_validate(row.parity),
        report=None if row.report is None else EvaluationReport.model_validate(row.report),
        **_origin_of(job),
    )


def _checkpoint_of(row: tables.Checkpoint, job: tables.Job) -> TunedModel:
    return TunedModel(
        name=row.model_name,
        base=job.model,
        adapter=_adapter_of(row),
        job_id=job.id,
        owner=Tenant(job.organization_id, job.project_id),
        created_at=row.created_at,
        **_origin_of(job),
    )


def _adapter_of(row: tables.Model | tables.Checkpoint) -> WeightsRef:
    return WeightsRef(
        digest=row.manifest_sha256, manifest_key=row.manifest_key, form=cast(WeightsForm, row.form)
    )
