"""Legal holds: data that nobody, and no retention, may delete until an administrator releases the hold.

A hold on a project keeps everything in it. A hold on a job keeps its files, events, checkpoints, resume state
and model; a hold on a model or a checkpoint keeps its weights. Data that Tunery can recreate is not held:
compiled files, data reports and exports."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, NotFound
from service.db import tables
from service.db.database import now
from service.db.ids import event_file_id, new_id, result_file_id
from service.db.organization.audit_log import record
from service.db.paging import Page, page
from service.db.tenancy import Tenant
from service.db.transitions import lock

HeldType = Literal["project", "file", "job", "model"]
_HOLD = tables.LegalHold


@dataclass(frozen=True, slots=True)
class LegalHold:
    id: str
    """`hold_…`"""
    project_id: str
    type: HeldType
    resource_id: str
    reason: str
    api_key_id: str
    """Id of the key that placed the hold."""
    created_at: int


@dataclass(frozen=True, slots=True)
class Held:
    """What is held in one project."""

    is_whole: bool = False
    """Whether the project itself is held."""
    files: frozenset[str] = frozenset()
    """Held files, including those of held jobs."""
    jobs: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    """Models and checkpoints, by name."""

    def has_file(self, id: str) -> bool:
        return self.is_whole or id in self.files

    def has_job(self, id: str) -> bool:
        return self.is_whole or id in self.jobs

    def has_model(self, name: str, job_id: str | None) -> bool:
        """Whether the model or one of its checkpoints is held, or the job that made it."""
        is_held = any(one == name or one.startswith(f"{name}:ckpt-step-") for one in self.models)
        return self.is_whole or is_held or job_id in self.jobs


class LegalHolds:
    """Legal holds of one organization's project."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def place(self, resource_id: str, reason: str, *, api_key_id: str) -> LegalHold:
        """Places a hold on the project, by its id, or on one of its files, jobs, models or checkpoints. Held
        files do not expire. The caller holds the project's lock.

        Raises NotFound, and Conflict (`legal_hold`) if there is a hold on it already."""
        type = self._lock(resource_id)
        same = select(_HOLD.id).where(*self._owned(), _HOLD.resource_id == resource_id)
        if self._session.scalar(same) is not None:
            raise Conflict(f"There is a legal hold on {resource_id} already.", code="legal_hold")
        row = _HOLD(
            id=new_id("hold_"),
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            type=type,
            resource_id=resource_id,
            reason=reason,
            api_key_id=api_key_id,
            created_at=int(now(self._session)),
        )
        self._session.add(row)
        self._session.flush()
        self._await_expiry()
        data = {"type": type, "resource_id": resource_id, "reason": reason}
        record(self._session, self._tenant, "legal_hold.created", row.id, data=data)
        return _hold_of(row)

    def page(self, *, after: str | None = None, limit: int = 20) -> Page[LegalHold]:
        """Newest first. Raises InvalidRequest if there is no hold `after`."""
        rows = select(_HOLD).where(*self._owned())
        key = (_HOLD.created_at, _HOLD.id)
        found = page(self._session, rows, key=key, after=after, cursors=rows, limit=limit)
        return Page([_hold_of(row) for row in found.data], found.has_more)

    def release(self, id: str) -> None:
        """Files whose expiry time has passed in the meantime expire at once. Raises NotFound."""
        row = self._session.scalar(select(_HOLD).where(*self._owned(), _HOLD.id == id).with_for_update())
        if row is None:
            raise NotFound(f"There is no legal hold '{id}'.", param="hold_id")
        self._session.delete(row)
        data = {"type": row.type, "resource_id": row.resource_id}
        record(self._session, self._tenant, "legal_hold.deleted", id, data=data)

    def _await_expiry(self) -> None:
        """Waits for a transaction that is deleting expired files of the project. The next one sees the
        hold."""
        file = tables.File
        expiring = select(file.id).where(
            file.project_id == self._tenant.project_id,
            file.expires_at.is_not(None),
            file.deleted_at.is_(None),
        )
        self._session.scalars(expiring.order_by(file.id).with_for_update()).all()

    def _lock(self, id: str) -> HeldType:
        """Returns the type of what the id names, and keeps that from being deleted until the transaction
        ends."""
        project_id, file, model = self._tenant.project_id, tables.File, tables.Model
        if id == project_id:
            return "project"
        owned = select(file.id).where(file.id == id, file.project_id == project_id, file.deleted_at.is_(None))
        if self._session.scalar(owned.with_for_update()) is not None:
            return "file"
        job = select(tables.Job.id).where(tables.Job.id == id, tables.Job.project_id == project_id)
        if self._session.scalar(job) is not None:
            lock(self._session, id)
            return "job"
        self._lock_job_of_model(id)
        checkpoint = (
            select(tables.Checkpoint.id)
            .join(tables.Job, tables.Job.id == tables.Checkpoint.job_id)
            .where(tables.Checkpoint.model_name == id, tables.Job.project_id == project_id)
        )
        published = select(model.id).where(
            model.id == id, model.project_id == project_id, model.deleted_at.is_(None)
        )
        is_there = self._session.scalar(checkpoint) or self._session.scalar(published.with_for_update())
        if is_there is None:
            raise NotFound(
                f"There is no file, job or model '{id}' in project {project_id}.", param="resource_id"
            )
        return "model"

    def _lock_job_of_model(self, name: str) -> None:
        """Locks the job, because anything of a job is removed only under the job's lock."""
        model = name.partition(":ckpt-step-")[0]
        job = select(tables.Job).where(
            tables.Job.output_model == model, tables.Job.project_id == self._tenant.project_id
        )
        self._session.scalars(job.with_for_update()).all()

    def _owned(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return (
            _HOLD.organization_id == self._tenant.organization_id,
            _HOLD.project_id == self._tenant.project_id,
        )


def held_of(session: Session, project_id: str) -> Held:
    holds = session.execute(select(_HOLD.type, _HOLD.resource_id).where(_HOLD.project_id == project_id)).all()
    if not holds:
        return Held()
    by_type = {type: frozenset(id for one, id in holds if one == type) for type in ("file", "job", "model")}
    jobs = by_type["job"]
    return Held(
        is_whole=any(type == "project" for type, _ in holds),
        files=by_type["file"] | frozenset(_files_of(session, jobs)),
        jobs=jobs,
        models=by_type["model"],
    )


def check_no_hold(session: Session, project_id: str) -> None:
    """Raises Conflict (`legal_hold`) if anything of the project is held."""
    if session.scalar(select(_HOLD.id).where(_HOLD.project_id == project_id).limit(1)) is not None:
        raise _refusal(f"Something of project {project_id}")


def check_file_not_held(session: Session, file: tables.File) -> None:
    """Raises Conflict (`legal_hold`)."""
    if held_of(session, file.project_id).has_file(file.id):
        raise _refusal(f"File {file.id}")


def check_model_not_held(session: Session, project_id: str, name: str, job_id: str | None) -> None:
    """Checks that a model and its checkpoints, or one checkpoint, are not held. Raises Conflict
    (`legal_hold`)."""
    if held_of(session, project_id).has_model(name, job_id):
        raise _refusal(f"The model '{name}'")


def _refusal(what: str) -> Conflict:
    return Conflict(
        f"{what} is under a legal hold, for a reason that administrators can read, and cannot be deleted.",
        code="legal_hold",
    )


def _files_of(session: Session, job_ids: frozenset[str]) -> Iterable[str]:
    job = tables.Job
    columns = (job.training_file, job.validation_file, job.general_file, job.result_file)
    for files in session.execute(select(*columns).where(job.id.in_(job_ids))) if job_ids else ():
        yield from (id for id in files if id is not None)
    for id in job_ids:
        yield from (result_file_id(id), event_file_id(id))


def _hold_of(row: tables.LegalHold) -> LegalHold:
    return LegalHold(
        id=row.id,
        project_id=row.project_id,
        type=cast(HeldType, row.type),
        resource_id=row.resource_id,
        reason=row.reason,
        api_key_id=row.api_key_id,
        created_at=row.created_at,
    )
