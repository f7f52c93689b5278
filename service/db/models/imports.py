"""Imports: adapters that were trained elsewhere, and become models once the cluster has validated them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import NotFound, Overloaded
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.imports import ImportedAdapter
from service.db import tables
from service.db.database import now
from service.db.files.files import File, file_of
from service.db.ids import new_id
from service.db.models.names import new_model_name
from service.db.organization.audit_log import record
from service.db.paging import Page, page
from service.db.tenancy import Tenant
from service.db.troubles import Trouble, is_last_try

MAX_PENDING = 4
"""Maximum number of one project's imports that are being validated or waiting."""

ImportStatus = Literal["validating", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class ModelImport:
    id: str
    """`modelimport-…`"""
    status: ImportStatus
    base: str
    """Alias of the base."""
    config_file: str
    weights_file: str
    output_model: str
    """The model's name, which is public once the import has succeeded."""
    error: dict[str, Any] | None
    """code, message, param."""
    created_at: int
    finished_at: int | None


@dataclass(frozen=True, slots=True)
class PendingImport:
    """An import that is to be validated, with its files."""

    id: str
    project_id: str
    base: str
    config: File
    weights: File
    retry_at: float | None = None
    """Unix seconds. None unless a try has failed."""


class Imports:
    """The imports of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def create(self, *, base: str, config_file: str, weights_file: str, suffix: str | None) -> ModelImport:
        """Creates an import. The caller holds locks on the project and on the files. If an import of the same
        files to the same base is being validated, returns that one: a client may have repeated its request.

        Raises Overloaded (`too_many_imports`) while MAX_PENDING other imports of the project are being
        validated."""
        same = self._session.scalar(
            self._owned()
            .where(
                tables.ModelImport.status == "validating",
                tables.ModelImport.base == base,
                tables.ModelImport.config_file == config_file,
                tables.ModelImport.weights_file == weights_file,
            )
            .limit(1)
        )
        if same is not None:
            return _import_of(same)
        pending = self._owned().where(tables.ModelImport.status == "validating")
        count = self._session.scalar(select(func.count()).select_from(pending.subquery())) or 0
        if count >= MAX_PENDING:
            raise Overloaded(
                f"This project has {count} imports that are being validated, and may not have more. Wait "
                "until one of them has ended.",
                code="too_many_imports",
                retry_after_seconds=10,
            )
        row = tables.ModelImport(
            id=new_id("modelimport-"),
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            status="validating",
            base=base,
            config_file=config_file,
            weights_file=weights_file,
            output_model=new_model_name(self._session, self._tenant, base, suffix),
            created_at=int(now(self._session)),
        )
        self._session.add(row)
        self._session.flush()
        data = {"model": row.output_model, "config_file": config_file, "weights_file": weights_file}
        record(self._session, self._tenant, "import.created", row.id, data={"base": base, **data})
        return _import_of(row)

    def get(self, id: str) -> ModelImport:
        """Raises NotFound."""
        return _import_of(self._row(id))

    def training(self, id: str) -> TrainingOptions:
        """The training options with which a job continues an import's adapter."""
        return TrainingOptions.model_validate(self._row(id).training)

    def page(self, *, after: str | None = None, limit: int = 20) -> Page[ModelImport]:
        """Newest first. `after` is an import's id; raises InvalidRequest if there is none."""
        found = page(
            self._session,
            self._owned(),
            key=(tables.ModelImport.created_at, tables.ModelImport.id),
            after=after,
            cursors=self._owned(),
            limit=limit,
        )
        return Page([_import_of(row) for row in found.data], found.has_more)

    def _row(self, id: str) -> tables.ModelImport:
        row = self._session.scalar(self._owned().where(tables.ModelImport.id == id))
        if row is None:
            raise NotFound(f"There is no import '{id}'.", param="import_id")
        return row

    def _owned(self) -> Select[tables.ModelImport]:
        return select(tables.ModelImport).where(
            tables.ModelImport.organization_id == self._tenant.organization_id,
            tables.ModelImport.project_id == self._tenant.project_id,
        )


def pending_imports(session: Session) -> Sequence[PendingImport]:
    """Pending imports of all tenants that are due, oldest first."""
    row = tables.ModelImport
    is_due = or_(row.retry_at.is_(None), row.retry_at <= now(session))
    rows = session.scalars(
        select(row).where(row.status == "validating", is_due).order_by(row.created_at, row.id)
    ).all()
    return [
        PendingImport(
            row.id,
            row.project_id,
            row.base,
            file_of(session.get_one(tables.File, row.config_file)),
            file_of(session.get_one(tables.File, row.weights_file)),
            row.retry_at,
        )
        for row in rows
    ]


def publish_import(session: Session, id: str, adapter: ImportedAdapter) -> bool:
    """Inserts the model. Returns False if the import had already ended. Use `Database.write`."""
    row = _lock(session, id)
    if row is None:
        return False
    row.status, row.finished_at = "succeeded", int(now(session))
    row.training = adapter.training.model_dump(mode="json")
    session.add(
        tables.Model(
            id=row.output_model,
            organization_id=row.organization_id,
            project_id=row.project_id,
            import_id=row.id,
            base=row.base,
            form=adapter.weights.form,
            manifest_key=adapter.weights.manifest_key,
            manifest_sha256=adapter.weights.digest,
            created_at=row.finished_at,
        )
    )
    return True


def end_imports(session: Session, project_id: str) -> None:
    """Fails all imports of a project that is being archived. The caller holds the project's lock."""
    pending = (tables.ModelImport.project_id == project_id, tables.ModelImport.status == "validating")
    # Locked in the order of their ids, so that transactions cannot deadlock.
    ids = select(tables.ModelImport.id).where(*pending).order_by(tables.ModelImport.id)
    for id in session.scalars(ids).all():
        if (row := _lock(session, id)) is not None:
            _fail(row, "project_archived", "The project was archived.", None, now(session))


def note_trouble(session: Session, id: str, trouble: Trouble, *, timeout_seconds: float) -> None:
    """Fails the import if its last try failed. Does nothing if it had already ended. Use `Database.write`."""
    row, at = _lock(session, id), now(session)
    if row is not None and is_last_try(row, trouble, timeout_seconds=timeout_seconds, at=at):
        _fail(row, trouble.code, trouble.error.message, trouble.error.param, at)


def _fail(row: tables.ModelImport, code: str, message: str, param: str | None, at: float) -> None:
    row.status, row.finished_at = "failed", int(at)
    row.error = {"code": code, "message": message, "param": param}


def _lock(session: Session, id: str) -> tables.ModelImport | None:
    return session.scalar(
        select(tables.ModelImport)
        .where(tables.ModelImport.id == id, tables.ModelImport.status == "validating")
        .with_for_update()
    )


def _import_of(row: tables.ModelImport) -> ModelImport:
    return ModelImport(
        id=row.id,
        status=cast(ImportStatus, row.status),
        base=row.base,
        config_file=row.config_file,
        weights_file=row.weights_file,
        output_model=row.output_model,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
