"""The right to complete an upload.

Joining the parts into a file can take minutes. The request that does it claims the upload and renews its
claim; if it dies, another one takes over. Only the holder of the claim can turn the upload into its file, so
that an upload becomes at most one file.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cluster.contracts.errors import InProgress, InvalidRequest
from service.db import tables
from service.db.database import now
from service.db.files.upload_rows import (
    Part,
    Upload,
    UploadRows,
    is_being_completed,
    part_of,
    require_pending,
)
from service.db.tenancy import Tenant

CLAIM_SECONDS = 30.0
"""How long a request that completes an upload keeps its claim without renewing it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to complete an upload, for CLAIM_SECONDS from its last renewal."""

    upload: Upload
    owner: str
    parts: list[Part]
    """The rows, in the order of the file."""


class Completions:
    """Completions of the uploads of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._rows = UploadRows(session, tenant)

    def claim(self, id: str, part_ids: Sequence[str]) -> Claim | Upload:
        """Returns the right to complete the upload with these parts, or the upload itself if it was already
        completed with them.

        Raises NotFound; InProgress while another request completes the upload; Conflict if it has ended in
        another way; and InvalidRequest unless the parts are the upload's own, are named once each and have
        the announced number of bytes in total."""
        digest = hashlib.sha256("\n".join(part_ids).encode()).hexdigest()
        row = self._rows.get(id, for_update=True)
        if row.status == "completed" and row.part_ids_sha256 == digest:
            return self._rows.public(row)
        if is_being_completed(row, now(self._session)):
            raise InProgress(f"Upload {id} is being completed; ask again in a moment.")
        upload = require_pending(self._rows.public(row))
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
            require_pending(self._rows.public(self._rows.get(claim.upload.id)))
            raise InProgress(f"Upload {claim.upload.id} is being completed by another request.")
        return self._rows.delete_parts(claim.upload.id)

    def attach(self, id: str, file_id: str) -> Upload:
        """Names the file of the completed upload."""
        row = self._rows.get(id)
        row.file_id = file_id
        self._session.flush()
        return self._rows.public(row)

    def _named_parts(self, upload: Upload, part_ids: Sequence[str]) -> list[Part]:
        rows = self._session.scalars(
            select(tables.UploadPart).where(tables.UploadPart.upload_id == upload.id)
        )
        parts = {row.id: part_of(row) for row in rows}
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
