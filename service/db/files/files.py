"""Records of uploaded and produced files. The bytes are in the object store under `object_key`."""

from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.errors import Conflict, NotFound
from service.db import tables
from service.db.database import now
from service.db.files.expiry import has_not_expired
from service.db.ids import new_id
from service.db.organization.audit_log import record
from service.db.paging import Order, Page, page
from service.db.retention.holds import check_file_not_held
from service.db.tenancy import Tenant
from service.db.transitions import UNFINISHED

FileStatus = Literal["uploaded", "processed", "error"]


@dataclass(frozen=True, slots=True)
class File:
    id: str
    tenant: Tenant
    filename: str
    purpose: str
    bytes: int
    sha256: str
    object_key: str
    status: FileStatus
    status_details: str | None
    format: DatasetFormat | None
    """None until the lines have been read, and for purposes other than fine-tune."""
    n_examples: int | None
    created_at: int
    expires_at: int | None


class Files:
    """The files of one tenant, excluding deleted and expired ones."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    @staticmethod
    def new_id() -> str:
        """`file-` and 24 characters. Storage needs the id before the row exists."""
        return new_id("file-")

    def create(
        self,
        *,
        id: str,
        filename: str,
        purpose: str,
        bytes: int,
        sha256: str,
        object_key: str,
        expires_after_seconds: int | None = None,
    ) -> File:
        """The new file has the status `uploaded`."""
        created_at = int(now(self._session))
        expires_at = None if expires_after_seconds is None else created_at + expires_after_seconds
        row = tables.File(
            id=id,
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            filename=filename,
            purpose=purpose,
            bytes=bytes,
            sha256=sha256,
            object_key=object_key,
            status="uploaded",
            created_at=created_at,
            expires_at=expires_at,
        )
        self._session.add(row)
        self._session.flush()
        data = {"purpose": purpose, "bytes": bytes, "sha256": sha256}
        record(self._session, self._tenant, "file.created", id, data=data)
        return file_of(row)

    def get(self, id: str) -> File:
        """Raises NotFound."""
        return file_of(self._row(id))

    def get_and_lock(self, id: str) -> File:
        """Like `get`, and keeps the file from being deleted until the transaction ends."""
        row = self._session.scalar(self._visible().where(tables.File.id == id).with_for_update(read=True))
        return file_of(row) if row is not None else self.get(id)

    def list(
        self,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 10_000,
        order: Order = "desc",
    ) -> Page[File]:
        """Ordered by creation. `after` is the id of the last file seen, which may have been deleted since;
        raises InvalidRequest if it never existed."""
        statement = self._visible()
        if purpose is not None:
            statement = statement.where(tables.File.purpose == purpose)
        found = page(
            self._session,
            statement,
            key=(tables.File.created_at, tables.File.id),
            after=after,
            cursors=self._owned(),
            limit=limit,
            order=order,
        )
        return Page([file_of(row) for row in found.data], found.has_more)

    def set_checked(
        self,
        id: str,
        *,
        status: Literal["processed", "error"],
        status_details: str | None = None,
        format: DatasetFormat | None = None,
        n_examples: int | None = None,
    ) -> File:
        """Stores the result of checking an uploaded file's lines. Raises NotFound."""
        row = self._row(id, for_update=True)
        row.status, row.status_details = status, status_details
        row.format, row.n_examples = format, n_examples
        self._session.flush()
        return file_of(row)

    def delete(self, id: str) -> None:
        """Marks the file as deleted; a sweep frees its storage later. Raises NotFound, and Conflict while an
        unended job or import uses it, or while it is under a legal hold."""
        row = self._row(id, for_update=True)
        uses = (tables.Job.training_file, tables.Job.validation_file, tables.Job.general_file)
        user = self._session.scalar(
            select(tables.Job.id)
            .where(or_(*(column == id for column in uses)))
            .where(tables.Job.status.in_(UNFINISHED))
            .limit(1)
        )
        if user is not None:
            raise Conflict(
                f"File {id} is used by job {user}, which has not ended. Cancel the job or wait for its end.",
                code="file_in_use",
            )
        importing = self._session.scalar(
            select(tables.ModelImport.id)
            .where(or_(tables.ModelImport.config_file == id, tables.ModelImport.weights_file == id))
            .where(tables.ModelImport.status == "validating")
            .limit(1)
        )
        if importing is not None:
            raise Conflict(
                f"File {id} is used by import {importing}, which has not ended.", code="file_in_use"
            )
        check_file_not_held(self._session, row)
        row.deleted_at = int(now(self._session))
        record(self._session, self._tenant, "file.deleted", id)

    def _row(self, id: str, *, for_update: bool = False) -> tables.File:
        statement = self._visible().where(tables.File.id == id)
        row = self._session.scalar(statement.with_for_update() if for_update else statement)
        if row is None:
            raise NotFound(f"No such File object: {id}", param="id")
        return row

    def _owned(self) -> Select[tables.File]:
        return select(tables.File).where(
            tables.File.organization_id == self._tenant.organization_id,
            tables.File.project_id == self._tenant.project_id,
        )

    def _visible(self) -> Select[tables.File]:
        return self._owned().where(tables.File.deleted_at.is_(None), has_not_expired(now(self._session)))


def forget_names(session: Session, *, deleted_before: float) -> None:
    """Removes the names of files that were deleted by then, and whose bytes are gone, too."""
    file = tables.File
    gone = update(file).where(file.deleted_at <= int(deleted_before), file.filename != "")
    session.execute(gone.values(filename="").execution_options(synchronize_session=False))


def file_of(row: tables.File) -> File:
    return File(
        id=row.id,
        tenant=Tenant(row.organization_id, row.project_id),
        filename=row.filename,
        purpose=row.purpose,
        bytes=row.bytes,
        sha256=row.sha256,
        object_key=row.object_key,
        status=cast(FileStatus, row.status),
        status_details=row.status_details,
        format=cast(Any, row.format),
        n_examples=row.n_examples,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
