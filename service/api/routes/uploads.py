"""`/v1/uploads`: files that are sent in parts. `upload_parts` receives the parts."""

import asyncio
import time
from functools import partial

from anyio import to_thread
from fastapi import APIRouter, Request

from cluster.contracts.errors import InProgress, InvalidRequest
from service.api.files.new_files import checked_name
from service.api.http.auth import Reader, Writer
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.uploads import CompleteUploadBody, CreateUploadBody, Upload
from service.api.state import UsesAppState
from service.api.uploads.completion import complete_upload, delete_parts, public_upload
from service.api.uploads.turns import UploadTurns
from service.db.files.uploads import Uploads
from service.db.limits.quotas import check_stored_bytes

_POLL_SECONDS = 0.5

router = APIRouter(prefix="/uploads", tags=["Uploads"], route_class=StrictJsonRoute)


@router.post("", operation_id="uploads_create", summary="Create an upload")
def create(body: CreateUploadBody, caller: Writer, state: UsesAppState) -> Upload:
    """Creates an upload for a file that is too large for a single request, or for an unreliable connection.
    Send the parts, and then complete the upload."""
    filename = checked_name(body.filename, body.purpose, param="filename")
    limit = state.settings.max_upload_bytes
    if body.bytes > limit:
        raise InvalidRequest(f"The file has {body.bytes} bytes; at most {limit} are allowed.", param="bytes")
    with state.database.write() as session:
        check_stored_bytes(session, caller.tenant, body.bytes, state.settings.project_limits)
        upload = Uploads(session, caller.tenant).create(
            filename=filename,
            purpose=body.purpose,
            bytes=body.bytes,
            lifetime_seconds=state.settings.upload_seconds,
            expires_after_seconds=body.expires_after.seconds if body.expires_after else None,
        )
    return public_upload(state, caller.tenant, upload)


@router.get("/{upload_id}", operation_id="uploads_retrieve", summary="Retrieve an upload")
def retrieve(caller: Reader, state: UsesAppState, upload_id: str) -> Upload:
    with state.database.read() as session:
        upload = Uploads(session, caller.tenant).get(upload_id)
    return public_upload(state, caller.tenant, upload)


@router.post("/{upload_id}/complete", operation_id="uploads_complete", summary="Complete an upload")
async def complete(
    request: Request, body: CompleteUploadBody, caller: Writer, state: UsesAppState, upload_id: str
) -> Upload:
    """Creates the file from the parts. It is checked like a file uploaded in one request; for large files,
    this takes minutes. If the connection breaks, send the same request again: it returns the same file."""
    turns: UploadTurns = request.app.state.upload_turns
    work = partial(complete_upload, state, caller.tenant, upload_id, body.part_ids, md5=body.md5)
    waits_until = time.monotonic() + state.settings.queue_timeout_seconds
    async with turns.completions.turn(caller.tenant.project_id):
        while True:
            try:
                upload = await to_thread.run_sync(work, limiter=turns.completions.threads)
                break
            except InProgress:
                # An earlier request of the same client is still working, or died a moment ago.
                if time.monotonic() > waits_until:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
    return await to_thread.run_sync(public_upload, state, caller.tenant, upload)


@router.post("/{upload_id}/cancel", operation_id="uploads_cancel", summary="Cancel an upload")
def cancel(caller: Writer, state: UsesAppState, upload_id: str) -> Upload:
    """Deletes the parts. No more can be added."""
    with state.database.write(frees_space=True) as session:
        upload, part_ids = Uploads(session, caller.tenant).cancel(upload_id)
    delete_parts(state, upload_id, part_ids)
    return public_upload(state, caller.tenant, upload)
