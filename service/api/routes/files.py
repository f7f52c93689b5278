"""`/v1/files`: file contents are streamed to and from storage; the database holds their rows."""

import logging
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Form, Query, Request, UploadFile
from starlette.responses import Response

from cluster.contracts.errors import InvalidRequest, TuneryError
from service.api.files.new_files import NewFile, checked_name, keep
from service.api.files.public_files import public_file
from service.api.http.auth import Reader, Writer
from service.api.http.errors import PayloadTooLarge
from service.api.http.ranges import Segment, download
from service.api.schemas.base import Absent, Deleted, OrDefault, WholeNumber
from service.api.schemas.files import FileList, FileObject, ListedPurpose, UploadPurpose
from service.api.state import AppState, UsesAppState
from service.api.uploads.pace import PacedRoute
from service.api.uploads.turns import UploadTurns
from service.db.files.files import File, Files
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant
from service.settings import Settings

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

log = logging.getLogger(__name__)


class _FileRoute(PacedRoute):
    """Waits until there is room for the request's body, if it has one, before reading any of it. A body of
    undeclared length needs room for the largest file."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def handle(request: Request) -> Response:
            turns: UploadTurns = request.app.state.upload_turns
            settings: Settings = request.app.state.app_state.settings
            principal: Principal = request.state.principal
            announced = request.headers.get("content-length", "")
            num_bytes = int(announced) if announced.isdecimal() else settings.max_file_bytes
            async with turns.bodies.turn(principal.tenant.project_id, num_bytes):
                return await handler(request)

        return handle


router = APIRouter(prefix="/files", tags=["Files"], route_class=_FileRoute)


@router.post("", operation_id="files_create", summary="Upload a file")
async def create(
    request: Request,
    caller: Writer,
    state: UsesAppState,
    file: UploadFile,
    purpose: Annotated[UploadPurpose, Form()],
    expires_after_anchor: Annotated[
        Literal["created_at"] | Absent, Form(alias="expires_after[anchor]"), OrDefault
    ] = None,
    expires_after_seconds: Annotated[
        int | Absent, Form(alias="expires_after[seconds]", ge=3600, le=2_592_000), WholeNumber
    ] = None,
) -> FileObject:
    """Uploads a file. A file for fine-tuning is checked line by line. Its status is then `processed`, or
    `error` with the invalid lines and their problems in `status_details`."""
    if (expires_after_anchor is None) != (expires_after_seconds is None):
        raise InvalidRequest("'expires_after' needs both 'anchor' and 'seconds'.", param="expires_after")
    filename = checked_name(file.filename, purpose, param="file")
    limit = state.settings.max_file_bytes
    if (file.size or 0) > limit:
        raise PayloadTooLarge(f"The file has {file.size} bytes; at most {limit} are allowed.", param="file")
    turns: UploadTurns = request.app.state.upload_turns
    description = NewFile(filename, purpose, expires_after_seconds)
    async with turns.files.turn(caller.tenant.project_id):
        recorded = await to_thread.run_sync(
            keep, state, caller.tenant, file.file, description, limiter=turns.files.threads
        )
    return public_file(recorded)


@router.get("", operation_id="files_list", summary="List files")
def list_files(
    caller: Reader,
    state: UsesAppState,
    purpose: Annotated[ListedPurpose | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=10_000), WholeNumber] = 10_000,
    order: Annotated[Literal["asc", "desc"], OrDefault] = "desc",
    after: Annotated[str | Absent, OrDefault] = None,
) -> FileList:
    with state.database.read() as session:
        page = Files(session, caller.tenant).list(purpose=purpose, after=after, limit=limit, order=order)
    data = [public_file(file) for file in page.data]
    return FileList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


@router.get("/{file_id}", operation_id="files_retrieve", summary="Retrieve a file")
def retrieve(caller: Reader, state: UsesAppState, file_id: str) -> FileObject:
    return public_file(_find(state, caller.tenant, file_id))


@router.get(
    "/{file_id}/content",
    operation_id="files_content",
    summary="Download a file",
    response_class=Response,
    responses={200: {"content": _BINARY}, 206: {"content": _BINARY, "description": "The requested range"}},
)
def content(caller: Reader, state: UsesAppState, request: Request, file_id: str) -> Response:
    """Supports requests for a single range. The `ETag` is the file's SHA-256 in hex."""
    file = _find(state, caller.tenant, file_id)
    # If the store does not answer, that is an error now instead of a broken download later.
    state.store.stat(file.object_key)
    # Some clients, such as curl, read only the plain name.
    plain, whole = re.sub(r"[^A-Za-z0-9._-]", "_", file.filename), quote(file.filename, safe="")
    headers = {"content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}"}
    segment = Segment(file.bytes, lambda start: state.store.open(file.object_key, start=start))
    return download(request.headers, [segment], etag=f'"{file.sha256}"', headers=headers)


@router.delete("/{file_id}", operation_id="files_delete", summary="Delete a file")
def delete(caller: Writer, state: UsesAppState, file_id: str) -> Deleted:
    """Deletes the file. The request is refused while a job that has not ended is using the file."""
    with state.database.write(frees_space=True) as session:
        files = Files(session, caller.tenant)
        object_key = files.get(file_id).object_key
        files.delete(file_id)
    try:
        state.store.delete(object_key)
    except TuneryError:
        # The row is a tombstone already. Garbage collection will delete the object.
        log.warning(
            "cannot delete object %s of a deleted file; it stays in storage", object_key, exc_info=True
        )
    return Deleted(id=file_id, object="file")


def _find(state: AppState, tenant: Tenant, file_id: str) -> File:
    with state.database.read() as session:
        return Files(session, tenant).get(file_id)
