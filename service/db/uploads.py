"""Files that are sent in parts: an upload collects parts until it is completed, is cancelled or expires.

    pending → completed | cancelled | expired

The parts of a pending upload are objects of their own. Completing joins them to a file, which can take
minutes. The request that does it claims the upload and renews its claim; if it dies, another one takes over.
Only the holder of the claim can end the upload with its file, so that an upload becomes one file at most.
"""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, InProgress, InvalidRequest, NotFound
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.tenancy import Tenant

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]

MAX_PARTS = 10_000
"""Parts of one upload."""
CLAIM_SECONDS = 30.0
"""How long a request that completes an upload holds it without a sign of life."""
_TIMES_SENT = 3
"""The openai SDK sends a part three times at most. What was sent may be stored though its answer was lost."""

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
    """Of the whole file, as announced."""
    expires_after_seconds: int | None
    """The file's lifetime; None keeps it."""
    status: UploadStatus
    created_at: int
    expires_at: int
    file_id: str | None
    """Once completed."""


@dataclass(frozen=True, slots=True)
class Part:
    id: str
    upload_id: str
    bytes: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to complete an upload, for CLAIM_SECONDS from its last renewal."""

    upload: Upload
    owner: str
    parts: list[Part]
    """In the order of the file."""


class Uploads:
    """The uploads of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

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
        """`lifetime_seconds` is the upload's own, `expires_after_seconds` the file's."""
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
        return self._public(row)

    def get(self, id: str) -> Upload:
        """Raises NotFound."""
        return self._public(self._row(id))

    def check_room(self, id: str, part_bytes: int) -> None:
        """Raises what `add_part` would raise now, before the part is stored."""
        self._check_room(self._pending(id), part_bytes)

    def add_part(self, id: str, part_id: str, part_bytes: int) -> Part:
        """Records a part that is stored. Raises NotFound, Conflict unless the upload is pending, and
        InvalidRequest if it has too many parts or bytes for its size."""
        upload = self._pending(id, for_update=True)
        self._check_room(upload, part_bytes)
        row = tables.UploadPart(
            id=part_id, upload_id=upload.id, bytes=part_bytes, created_at=int(now(self._session))
        )
        self._session.add(row)
        self._session.flush()
        return _part_of(row)

    def claim(self, id: str, part_ids: Sequence[str]) -> Claim | Upload:
        """Returns the right to complete the upload with these parts, or the upload if it was completed with
        them before.

        Raises NotFound; InProgress while another request completes the upload; Conflict if it has ended in
        another way; and InvalidRequest unless the parts are the upload's own, are named once each and have
        the announced number of bytes in total."""
        digest = hashlib.sha256("\n".join(part_ids).encode()).hexdigest()
        row = self._row(id, for_update=True)
        if row.status == "completed" and row.part_ids_sha256 == digest:
            return self._public(row)
        if _is_being_completed(row, now(self._session)):
            raise InProgress(f"Upload {id} is being completed; ask again in a moment.")
        upload = _pending(self._public(row))
        parts = self._named_parts(upload, part_ids)
        row.completer, row.part_ids_sha256 = secrets.token_hex(8), digest
        row.completer_expires_at = now(self._session) + CLAIM_SECONDS
        return Claim(upload, row.completer, parts)

    def renew(self, claim: Claim) -> bool:
        """Returns False if the claim has been lost."""
        at = now(self._session)
        return self._update(claim, completer_expires_at=at + CLAIM_SECONDS)

    def give_up(self, claim: Claim) -> None:
        """Lets another request complete the upload at once."""
        self._update(claim, completer=None, completer_expires_at=None, part_ids_sha256=None)

    def finish(self, claim: Claim) -> list[str]:
        """Ends the upload. Call it in the transaction that writes the file's row, and `attach` the file then.
        Returns the ids of all its parts, whose objects nobody needs any more. Raises Conflict if the upload
        was cancelled or another request has taken over."""
        if not self._update(claim, status="completed", completer_expires_at=None):
            _pending(self.get(claim.upload.id))
            raise InProgress(f"Upload {claim.upload.id} is being completed by another request.")
        return self._delete_parts(claim.upload.id)

    def attach(self, id: str, file_id: str) -> Upload:
        """Names the file of the completed upload."""
        row = self._row(id)
        row.file_id = file_id
        self._session.flush()
        return self._public(row)

    def cancel(self, id: str) -> tuple[Upload, list[str]]:
        """Returns the cancelled upload and the ids of its parts, whose objects nobody needs any more. Does
        nothing if it was cancelled before. Raises NotFound, and Conflict if it ended in another way."""
        row = self._row(id, for_update=True)
        if row.status == "cancelled":
            return self._public(row), []
        _pending(self._public(row))
        row.status = "cancelled"
        return self._public(row), self._delete_parts(id)

    def _row(self, id: str, *, for_update: bool = False) -> tables.Upload:
        statement = select(tables.Upload).where(
            tables.Upload.id == id,
            tables.Upload.organization_id == self._tenant.organization_id,
            tables.Upload.project_id == self._tenant.project_id,
        )
        if for_update:
            statement = statement.with_for_update().execution_options(populate_existing=True)
        row = self._session.scalar(statement)
        if row is None:
            raise NotFound(f"No such Upload object: {id}", param="id")
        return row

    def _public(self, row: tables.Upload) -> Upload:
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

    def _pending(self, id: str, *, for_update: bool = False) -> Upload:
        return _pending(self._public(self._row(id, for_update=for_update)))

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

    def _named_parts(self, upload: Upload, part_ids: Sequence[str]) -> list[Part]:
        rows = self._session.scalars(
            select(tables.UploadPart).where(tables.UploadPart.upload_id == upload.id)
        )
        parts = {row.id: _part_of(row) for row in rows}
        seen = set()
        for place, part_id in enumerate(part_ids):
            param = f"part_ids[{place}]"
            if part_id not in parts:
                message = f"No such part of upload {upload.id}: {part_id}"
                raise InvalidRequest(message, code="part_not_found", param=param)
            if part_id in seen:
                raise InvalidRequest(f"Part {part_id} is named twice.", code="duplicate_part", param=param)
            seen.add(part_id)
        total = sum(parts[part_id].bytes for part_id in part_ids)
        if total != upload.bytes:
            raise InvalidRequest(
                f"The parts have {total} bytes in total, but upload {upload.id} was created for a file of "
                f"{upload.bytes} bytes.",
                code="bytes_mismatch",
                param="part_ids",
            )
        return [parts[part_id] for part_id in part_ids]

    def _delete_parts(self, id: str) -> list[str]:
        """Returns their ids."""
        gone = delete(tables.UploadPart).where(tables.UploadPart.upload_id == id)
        return list(self._session.scalars(gone.returning(tables.UploadPart.id)))

    def _update(self, claim: Claim, **values: object) -> bool:
        done = self._session.execute(
            update(tables.Upload)
            .where(
                tables.Upload.id == claim.upload.id,
                tables.Upload.status == "pending",
                tables.Upload.completer == claim.owner,
            )
            .values(**values)
            .returning(tables.Upload.id)
        )
        return done.scalar() is not None


def expire_uploads(session: Session) -> None:
    """Records that the uploads of all tenants whose time is over have expired, unless they are being
    completed. Use `Database.write`."""
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
    """Those of the given uploads, of any tenant, whose parts are still needed."""
    row = tables.Upload
    return frozenset(session.scalars(select(row.id).where(row.id.in_(ids), row.status == "pending")))


def _pending(upload: Upload) -> Upload:
    """Raises Conflict unless the upload is pending."""
    if upload.status != "pending":
        what = "has expired" if upload.status == "expired" else f"is {upload.status}"
        raise Conflict(
            f"Upload {upload.id} {what}; create a new one.", code=_CODES[upload.status], param="upload_id"
        )
    return upload


def _status(row: tables.Upload, at: float) -> UploadStatus:
    if row.status == "pending" and row.expires_at <= at and not _is_being_completed(row, at):
        return "expired"
    return cast(UploadStatus, row.status)


def _is_being_completed(row: tables.Upload, at: float) -> bool:
    until = row.completer_expires_at
    return row.status == "pending" and until is not None and until > at


def _part_of(row: tables.UploadPart) -> Part:
    return Part(row.id, row.upload_id, row.bytes, row.created_at)
