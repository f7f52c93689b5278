"""The rows of uploads and parts, shared by `uploads` and `upload_completions`.

pending → completed | cancelled | expired
"""

from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, NotFound
from service.db import tables
from service.db.database import now
from service.db.tenancy import Tenant

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]

_CODES = {
    "completed": "upload_completed",
    "cancelled": "upload_cancelled",
    "expired": "upload_expired",
}


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    tenant: Tenant
    filename: str
    purpose: str
    bytes: int
    """Announced size of the whole file in bytes."""
    expires_after_seconds: int | None
    """The file's lifetime in seconds; None keeps it forever."""
    status: UploadStatus
    created_at: int
    expires_at: int
    file_id: str | None
    """Set once the upload is completed."""


@dataclass(frozen=True, slots=True)
class Part:
    id: str
    upload_id: str
    bytes: int
    created_at: int


class UploadRows:
    """The rows of one tenant's uploads."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def get(self, id: str, *, for_update: bool = False) -> tables.Upload:
        """Raises NotFound."""
        statement = select(tables.Upload).where(
            tables.Upload.id == id,
            tables.Upload.organization_id == self._tenant.organization_id,
            tables.Upload.project_id == self._tenant.project_id,
        )
        if for_update:
            statement = statement.with_for_update()
        row = self._session.scalar(statement)
        if row is None:
            raise NotFound(f"No such Upload object: {id}", param="id")
        return row

    def public(self, row: tables.Upload) -> Upload:
        return Upload(
            id=row.id,
            tenant=Tenant(row.organization_id, row.project_id),
            filename=row.filename,
            purpose=row.purpose,
            bytes=row.bytes,
            expires_after_seconds=row.expires_after_seconds,
            status=_status(row, now(self._session)),
            created_at=row.created_at,
            expires_at=row.expires_at,
            file_id=row.file_id,
        )

    def pending(self, id: str, *, for_update: bool = False) -> Upload:
        """Raises NotFound, and Conflict unless the upload is pending."""
        return require_pending(self.public(self.get(id, for_update=for_update)))

    def delete_parts(self, id: str) -> list[str]:
        """Returns their ids."""
        gone = delete(tables.UploadPart).where(tables.UploadPart.upload_id == id)
        return list(self._session.scalars(gone.returning(tables.UploadPart.id)))


def require_pending(upload: Upload) -> Upload:
    """Raises Conflict unless the upload is pending."""
    if upload.status != "pending":
        what = "has expired" if upload.status == "expired" else f"is {upload.status}"
        raise Conflict(
            f"Upload {upload.id} {what}; create a new one.", code=_CODES[upload.status], param="upload_id"
        )
    return upload


def is_being_completed(row: tables.Upload, at: float) -> bool:
    until = row.completer_expires_at
    return row.status == "pending" and until is not None and until > at


def part_of(row: tables.UploadPart) -> Part:
    return Part(row.id, row.upload_id, row.bytes, row.created_at)


def _status(row: tables.Upload, at: float) -> UploadStatus:
    if row.status == "pending" and row.expires_at <= at and not is_being_completed(row, at):
        return "expired"
    return cast(UploadStatus, row.status)
