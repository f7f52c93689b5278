"""Files that are sent in parts: an upload collects parts until it is completed, is cancelled or expires.

The parts of a pending upload are separate objects. `upload_completions` joins them into a file.
"""

from collections.abc import Collection

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest
from service.db import tables
from service.db.database import now
from service.db.files.upload_rows import Part, Upload, UploadRows, part_of, require_pending
from service.db.ids import new_id
from service.db.tenancy import Tenant

MAX_PARTS = 10_000
"""Maximum number of parts of one upload."""
_TIMES_SENT = 3
"""The openai SDK sends a part up to three times. A part may be stored although the response was lost."""


class Uploads:
    """The uploads of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant
        self._rows = UploadRows(session, tenant)

    @staticmethod
    def new_part_id() -> str:
        """Storage needs the id before the row exists."""
        return new_id("part_")

    def create(
        self,
        *,
        filename: str,
        purpose: str,
        bytes: int,
        lifetime_seconds: int,
        expires_after_seconds: int | None = None,
    ) -> Upload:
        """`lifetime_seconds` applies to the upload, `expires_after_seconds` to the file."""
        created_at = int(now(self._session))
        row = tables.Upload(
            id=new_id("upload_"),
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            filename=filename,
            purpose=purpose,
            bytes=bytes,
            expires_after_seconds=expires_after_seconds,
            status="pending",
            created_at=created_at,
            expires_at=created_at + lifetime_seconds,
        )
        self._session.add(row)
        self._session.flush()
        return self._rows.public(row)

    def get(self, id: str) -> Upload:
        """Raises NotFound."""
        return self._rows.public(self._rows.get(id))

    def check_room(self, id: str, part_bytes: int) -> None:
        """Raises what `add_part` would raise now. Call it before the part is stored."""
        self._check_room(self._rows.pending(id), part_bytes)

    def add_part(self, id: str, part_id: str, part_bytes: int) -> Part:
        """Records a part that is stored. Raises NotFound, Conflict unless the upload is pending, and
        InvalidRequest if it has too many parts or bytes for its size."""
        upload = self._rows.pending(id, for_update=True)
        self._check_room(upload, part_bytes)
        row = tables.UploadPart(
            id=part_id, upload_id=upload.id, bytes=part_bytes, created_at=int(now(self._session))
        )
        self._session.add(row)
        self._session.flush()
        return part_of(row)

    def cancel(self, id: str) -> tuple[Upload, list[str]]:
        """Returns the cancelled upload and the ids of its parts, whose objects nobody needs any more. Does
        nothing if it was cancelled before. Raises NotFound, and Conflict if it ended in another way."""
        row = self._rows.get(id, for_update=True)
        if row.status == "cancelled":
            return self._rows.public(row), []
        require_pending(self._rows.public(row))
        row.status = "cancelled"
        return self._rows.public(row), self._rows.delete_parts(id)

    def _check_room(self, upload: Upload, part_bytes: int) -> None:
        count, total = self._session.execute(
            select(func.count(), func.coalesce(func.sum(tables.UploadPart.bytes), 0)).where(
                tables.UploadPart.upload_id == upload.id
            )
        ).one()
        if count >= MAX_PARTS:
            raise InvalidRequest(
                f"Upload {upload.id} has {count} parts, the most allowed; send larger parts.",
                code="too_many_parts",
                param="data",
            )
        if part_bytes > upload.bytes or total + part_bytes > _TIMES_SENT * upload.bytes:
            raise InvalidRequest(
                f"Upload {upload.id} is for a file of {upload.bytes} bytes; the part has {part_bytes} bytes, "
                f"and the parts before it {total}.",
                code="upload_bytes_exceeded",
                param="data",
            )


def expire_uploads(session: Session) -> None:
    """Records the expiry of uploads of all tenants whose time is over, unless they are being completed. Use
    `Database.write`."""
    at, row = now(session), tables.Upload
    expired = session.scalars(
        update(row)
        .where(
            row.status == "pending",
            row.expires_at <= at,
            or_(row.completer_expires_at.is_(None), row.completer_expires_at <= at),
        )
        .values(status="expired")
        .returning(row.id)
    ).all()
    session.execute(delete(tables.UploadPart).where(tables.UploadPart.upload_id.in_(expired)))


def pending_uploads(session: Session, ids: Collection[str]) -> frozenset[str]:
    """Returns those of the given uploads, of any tenant, whose parts are still needed."""
    row = tables.Upload
    return frozenset(session.scalars(select(row.id).where(row.id.in_(ids), row.status == "pending")))
