"""Exports: tuned weights in another program's format, made by the cluster. They last as long as their
weights, but no longer than until they expire."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import NotFound, Overloaded
from cluster.contracts.exports import Export, ExportFormat, ExportProgress, Quantization
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import export_manifest_key
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.models.models import TunedModel
from service.db.organization.audit_log import record
from service.db.paging import Page, page
from service.db.superseded import note_superseded
from service.db.tenancy import Tenant
from service.db.troubles import Trouble, is_last_try

MAX_PENDING = 4
"""Maximum number of one project's exports that are being made or waiting."""

ExportStatus = Literal["queued", "running", "succeeded", "failed"]

_TABLE = tables.ModelExport
_PENDING = ("queued", "running")


@dataclass(frozen=True, slots=True)
class ModelExport:
    id: str
    """`modelexport-…`"""
    owner: Tenant
    """The project that requested it, which may differ from the model's."""
    status: ExportStatus
    model: str
    """The name by which it was requested."""
    base: str
    """Alias of the base."""
    weights: WeightsRef
    format: ExportFormat
    quantization: Quantization | None
    """None for `merged`."""
    done_bytes: int
    total_bytes: int | None
    """None until it is known."""
    export_sha256: str | None
    """SHA-256 of the export's manifest, once the export has succeeded."""
    error: dict[str, Any] | None
    """code, message, param."""
    created_at: int
    finished_at: int | None
    expires_at: int | None
    """Set once the export has ended."""


class Exports:
    """The exports of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def create(
        self,
        model: TunedModel,
        format: ExportFormat,
        quantization: Quantization | None,
        *,
        seconds: float | None,
    ) -> ModelExport:
        """Creates an export. The caller holds locks on the project and on the model. If an export of the same
        weights is being made or exists, returns that one, and extends it: it then lasts for `seconds` from
        now, or without a limit.

        Raises Overloaded (`too_many_exports`) while MAX_PENDING others of the project are being made."""
        at = now(self._session)
        same = self._session.scalar(
            self._of(model.adapter, format, quantization)
            .where(_TABLE.status != "failed")
            .limit(1)
            .with_for_update()
        )
        if same is not None:
            if same.status == "succeeded":
                same.expires_at = _end(at, seconds)
            return _export_of(same)
        pending = self._current().where(_TABLE.status.in_(_PENDING))
        count = self._session.scalar(select(func.count()).select_from(pending.subquery())) or 0
        if count >= MAX_PENDING:
            raise Overloaded(
                f"This project has {count} exports that are being made, and may not have more. Wait until "
                "one of them has ended, or delete one.",
                code="too_many_exports",
                retry_after_seconds=10,
            )
        row = _TABLE(
            id=new_id("modelexport-"),
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            status="queued",
            model=model.name,
            base=model.base,
            manifest_key=model.adapter.manifest_key,
            manifest_sha256=model.adapter.digest,
            form=model.adapter.form,
            format=format,
            quantization=quantization,
            done_bytes=0,
            faults=0,
            created_at=int(at),
        )
        self._session.add(row)
        self._session.flush()
        data = {"model": model.name, "format": format, "quantization": quantization}
        record(self._session, self._tenant, "export.created", row.id, data=data)
        return _export_of(row)

    def get(self, id: str) -> ModelExport:
        """Raises NotFound."""
        return _export_of(self._row(id))

    def find(
        self, weights: WeightsRef, format: ExportFormat, quantization: Quantization | None
    ) -> ModelExport | None:
        """The newest export of these weights."""
        newest = self._of(weights, format, quantization).order_by(_TABLE.created_at.desc(), _TABLE.id.desc())
        row = self._session.scalar(newest.limit(1))
        return None if row is None else _export_of(row)

    def page(self, weights: WeightsRef, *, after: str | None = None, limit: int = 20) -> Page[ModelExport]:
        """Exports of these weights, newest first. `after` is an export's id; raises InvalidRequest if there
        is none."""
        of_weights = self._current().where(_TABLE.manifest_sha256 == weights.digest)
        found = page(
            self._session,
            of_weights,
            key=(_TABLE.created_at, _TABLE.id),
            after=after,
            cursors=self._owned(),
            limit=limit,
        )
        return Page([_export_of(row) for row in found.data], found.has_more)

    def delete(self, id: str) -> None:
        """Deletes the export; ends it first if it is still being made. Raises NotFound."""
        row, at = self._row(id, for_update=True), now(self._session)
        row.deleted_at = int(at)
        _note_superseded(self._session, row, at)
        record(self._session, self._tenant, "export.deleted", id)

    def _row(self, id: str, *, for_update: bool = False) -> tables.ModelExport:
        statement = self._current().where(_TABLE.id == id)
        row = self._session.scalar(statement.with_for_update() if for_update else statement)
        if row is None:
            raise NotFound(f"There is no export '{id}'.", param="export_id")
        return row

    def _of(
        self, weights: WeightsRef, format: ExportFormat, quantization: Quantization | None
    ) -> Select[tables.ModelExport]:
        return self._current().where(
            _TABLE.manifest_sha256 == weights.digest,
            _TABLE.format == format,
            _TABLE.quantization.is_(None) if quantization is None else _TABLE.quantization == quantization,
        )

    def _current(self) -> Select[tables.ModelExport]:
        return self._owned().where(is_current(self._session))

    def _owned(self) -> Select[tables.ModelExport]:
        return select(_TABLE).where(
            _TABLE.organization_id == self._tenant.organization_id,
            _TABLE.project_id == self._tenant.project_id,
        )


def is_current(session: Session) -> ColumnElement[bool]:
    """Selects the exports that exist for their owners: those that are neither deleted nor expired, and whose
    weights still have a name."""
    model, checkpoint = tables.Model, tables.Checkpoint
    return (
        _TABLE.deleted_at.is_(None)
        & or_(_TABLE.expires_at.is_(None), _TABLE.expires_at > int(now(session)))
        & or_(
            exists().where(model.manifest_key == _TABLE.manifest_key, model.deleted_at.is_(None)),
            exists().where(checkpoint.manifest_key == _TABLE.manifest_key),
        )
    )


def pending_exports(session: Session) -> Sequence[ModelExport]:
    """Pending exports of all tenants that are due, oldest first."""
    is_due = or_(_TABLE.retry_at.is_(None), _TABLE.retry_at <= now(session))
    rows = session.scalars(
        select(_TABLE)
        .where(_TABLE.status.in_(_PENDING), is_due, is_current(session))
        .order_by(_TABLE.created_at, _TABLE.id)
    )
    return [_export_of(row) for row in rows]


def exported_bytes(session: Session, owned: ColumnElement[bool]) -> int:
    """Bytes that these exports take, including those that exports in progress will take."""
    total = select(func.sum(_TABLE.total_bytes)).where(owned, _TABLE.status != "failed", is_current(session))
    return int(session.scalar(total) or 0)


def note_progress(session: Session, id: str, progress: ExportProgress) -> None:
    """Use `Database.write`, as below. Does nothing if the export has ended."""
    if (row := _lock(session, id)) is not None:
        if row.retry_at is not None:
            # It is being worked on: however long that takes, it has not been forgotten.
            row.retry_at = now(session)
        if row.total_bytes is None or progress.done_bytes > row.done_bytes:
            # An export that starts again and fails at the same place keeps its waiting time.
            row.waiting_since = None
        if progress.total_bytes is not None:
            row.status, row.total_bytes = "running", progress.total_bytes
            row.done_bytes = max(row.done_bytes, progress.done_bytes)


def note_trouble(
    session: Session, id: str, trouble: Trouble, *, timeout_seconds: float, seconds: float | None
) -> None:
    """Fails the export if its last try failed. The reason is then shown for `seconds` from now."""
    row, at = _lock(session, id), now(session)
    if row is not None and is_last_try(row, trouble, timeout_seconds=timeout_seconds, at=at):
        row.status, row.finished_at, row.expires_at = "failed", int(at), _end(at, seconds)
        row.error = {"code": trouble.code, "message": trouble.error.message, "param": trouble.error.param}
        _note_superseded(session, row, at)


def finish_export(session: Session, id: str, export: Export, *, seconds: float | None) -> None:
    """Records the finished export, which lasts for `seconds` from now, or without a limit."""
    if (row := _lock(session, id)) is not None:
        at = now(session)
        row.status, row.finished_at, row.expires_at = "succeeded", int(at), _end(at, seconds)
        row.done_bytes = row.total_bytes = export.bytes
        row.export_sha256 = export.manifest_sha256


def end_exports(session: Session, project_id: str) -> None:
    """Deletes all exports of a project that is being archived. The caller holds the project's lock."""
    rows = session.scalars(
        select(_TABLE)
        .where(_TABLE.project_id == project_id, _TABLE.deleted_at.is_(None))
        .order_by(_TABLE.id)
        .with_for_update()
    )
    _delete(session, rows.all())


def delete_ended_exports(session: Session, ids: Sequence[str]) -> None:
    """Records permanently which of these exports no longer exist. Skips those that are in use now."""
    current = is_current(session)
    rows = session.scalars(
        select(_TABLE)
        .where(_TABLE.id.in_(ids), _TABLE.deleted_at.is_(None), ~current)
        .order_by(_TABLE.id)
        .with_for_update(skip_locked=True)
    )
    _delete(session, rows.all())


def _delete(session: Session, rows: Sequence[tables.ModelExport]) -> None:
    at = int(now(session))
    for row in rows:
        row.deleted_at = at
        record(session, Tenant(row.organization_id, row.project_id), "export.deleted", row.id)
    session.flush()


def _end(at: float, seconds: float | None) -> int | None:
    return None if seconds is None else int(at + seconds)


def _lock(session: Session, id: str) -> tables.ModelExport | None:
    """The export's locked row, if the export has not ended."""
    return session.scalar(
        select(_TABLE)
        .where(_TABLE.id == id, _TABLE.status.in_(_PENDING), _TABLE.deleted_at.is_(None))
        .with_for_update()
    )


def _note_superseded(session: Session, row: tables.ModelExport, at: float) -> None:
    """Its partial files must not wait for a sweep, since no quota counts them any more."""
    note_superseded(session, [export_manifest_key(row.id)], at=at)


def _export_of(row: tables.ModelExport) -> ModelExport:
    return ModelExport(
        id=row.id,
        owner=Tenant(row.organization_id, row.project_id),
        status=cast(ExportStatus, row.status),
        model=row.model,
        base=row.base,
        weights=WeightsRef(
            digest=row.manifest_sha256, manifest_key=row.manifest_key, form=cast(WeightsForm, row.form)
        ),
        format=cast(ExportFormat, row.format),
        quantization=cast(Quantization | None, row.quantization),
        done_bytes=row.done_bytes,
        total_bytes=row.total_bytes,
        export_sha256=row.export_sha256,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
    )
