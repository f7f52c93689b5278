"""Completes an upload: its parts become a file, in the same way as every new file.

The parts are kept until the transaction that records the file, so that a crash at any point loses nothing:
the client repeats its request, and that one starts again once the claim of the dead one has expired.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import cast

from cluster.contracts.errors import CorruptArtefact, InvalidRequest, NotFound, TuneryError
from cluster.storage.keys import part_key
from service.api.files.new_files import NewFile, StoredFile, checked, record, stored
from service.api.files.public_files import public_file
from service.api.schemas.files import FilePurpose, UploadPurpose
from service.api.schemas.uploads import Upload as PublicUpload
from service.api.state import AppState
from service.api.uploads.joined_parts import JoinedParts
from service.db.files.files import Files
from service.db.files.upload_completions import CLAIM_SECONDS, Claim, Completions
from service.db.files.upload_rows import Upload
from service.db.limits.quotas import check_stored_bytes
from service.db.tenancy import Tenant

log = logging.getLogger(__name__)


def complete_upload(
    state: AppState, tenant: Tenant, upload_id: str, named_ids: Sequence[str], *, md5: str | None
) -> Upload:
    """Returns the completed upload, however often it is called with the same parts, `named_ids`. Takes as
    long as reading and writing the file. Raises what `Completions.claim` raises, InvalidRequest if the file
    has another MD5, and Conflict if the upload is cancelled in the meantime."""
    with state.database.write() as session:
        claim = Completions(session, tenant).claim(upload_id, named_ids)
    if isinstance(claim, Upload):
        return claim
    try:
        with _renewed(state, tenant, claim):
            upload, part_ids = _make_file(state, tenant, claim, md5)
    except BaseException:
        # If this fails too, the next request waits until the claim has expired.
        with suppress(TuneryError), state.database.write() as session:
            Completions(session, tenant).give_up(claim)
        raise
    delete_parts(state, upload_id, part_ids)
    return upload


def delete_parts(state: AppState, upload_id: str, part_ids: Sequence[str]) -> None:
    """Deletes the objects of parts that no longer have rows. Objects that cannot be deleted are left to the
    sweeper."""
    try:
        state.store.delete_many([part_key(upload_id, part_id) for part_id in part_ids])
    except TuneryError:
        log.warning("cannot delete parts of %s; the sweeper will", upload_id, exc_info=True)


def public_upload(state: AppState, tenant: Tenant, upload: Upload) -> PublicUpload:
    """The upload with its file, if it still exists."""
    file = None
    if upload.file_id is not None:
        with suppress(NotFound), state.database.read() as session:
            file = Files(session, tenant).get(upload.file_id)
    return PublicUpload(
        id=upload.id,
        bytes=upload.bytes,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        filename=upload.filename,
        purpose=cast(FilePurpose, upload.purpose),
        status=upload.status,
        file=None if file is None else public_file(file),
    )


def _make_file(state: AppState, tenant: Tenant, claim: Claim, md5: str | None) -> tuple[Upload, list[str]]:
    """Returns the completed upload and the ids of its former parts."""
    upload = claim.upload
    purpose = cast(UploadPurpose, upload.purpose)
    parts = JoinedParts(state.store_of(tenant), claim.parts, with_md5=md5 is not None)
    with stored(state, tenant, parts.put) as file:
        with parts.stored_content(file.object.key) as content:
            verdict = checked(purpose, content)
        file.object = replace(file.object, sha256=parts.sha256())
        _check_content(file, upload, parts.md5(), md5)
        new = NewFile(upload.filename, purpose, upload.expires_after_seconds)
        with state.database.write() as session:
            completions, limits = Completions(session, tenant), state.settings.project_limits
            # Locks the project before the upload, in the same order as a new part.
            check_stored_bytes(session, tenant, 0, limits)
            # Deletes the parts' rows before the file is recorded, so that no byte counts twice.
            part_ids = completions.finish(claim)
            record(session, tenant, file, new, verdict, limits=limits)
            return completions.attach(upload.id, file.id), part_ids


def _check_content(file: StoredFile, upload: Upload, found: str | None, wanted: str | None) -> None:
    if file.object.bytes != upload.bytes:
        raise CorruptArtefact(f"The parts of upload {upload.id} have changed in storage.")
    if wanted is not None and found != wanted.lower():
        raise InvalidRequest(
            f"The file has the MD5 {found}, but {wanted} was announced. Are the parts in their order?",
            code="md5_mismatch",
            param="md5",
        )


@contextmanager
def _renewed(state: AppState, tenant: Tenant, claim: Claim) -> Iterator[None]:
    """Keeps the claim within the context. Whether it was kept is checked when the upload ends."""
    is_over = threading.Event()

    def renew() -> None:
        while not is_over.wait(CLAIM_SECONDS / 6):
            with suppress(TuneryError), state.database.write() as session:
                if not Completions(session, tenant).renew(claim):
                    return

    thread = threading.Thread(target=renew, name="upload-claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
