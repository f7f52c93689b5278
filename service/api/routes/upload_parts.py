"""`/v1/uploads/{upload_id}/parts`: receives the parts of uploads, several at once and in any order."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response, UploadFile
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from cluster.storage.keys import part_key
from service.api.http.auth import Writer
from service.api.http.errors import PayloadTooLarge
from service.api.schemas.uploads import UploadPart
from service.api.state import AppState, UsesAppState
from service.api.uploads.completion import delete_parts
from service.api.uploads.pace import Pace
from service.api.uploads.turns import UploadTurns
from service.db.files.uploads import Uploads
from service.db.limits.quotas import check_stored_bytes
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant

MAX_PART_BYTES = 64 * 2**20
_LONGEST_SECONDS = 600.0
"""Maximum seconds for a part, which occupies a turn. The openai SDK gives up after the same time."""


class _PartRoute(APIRoute):
    """Waits for the request's turn before reading the body, and takes the turn away from clients that send
    too slowly. Only parts that would be accepted get a turn."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            turns: UploadTurns = request.app.state.upload_turns
            pace: Pace = replace(request.app.state.upload_pace, longest_seconds=_LONGEST_SECONDS)
            principal: Principal = request.state.principal
            await run_in_threadpool(
                _check_room,
                request.app.state.app_state,
                principal.tenant,
                request.path_params["upload_id"],
                0,
            )
            async with turns.parts.turn(principal.tenant.project_id), pace.kept(request) as paced:
                return await handler(paced)

        return handle


router = APIRouter(prefix="/uploads/{upload_id}/parts", tags=["Uploads"], route_class=_PartRoute)


@router.post("", operation_id="upload_parts_create", summary="Add a part")
def create(caller: Writer, state: UsesAppState, upload_id: str, data: UploadFile) -> UploadPart:
    """Adds a part of at most 64 MiB. Parts may be sent in parallel; their order is set when the upload is
    completed. If the connection breaks, send the part again."""
    size = data.size or 0
    if size > MAX_PART_BYTES:
        raise PayloadTooLarge(
            f"The part has {size} bytes; at most {MAX_PART_BYTES} are allowed.", param="data"
        )
    _check_room(state, caller.tenant, upload_id, size)
    part_id = Uploads.new_part_id()
    try:
        state.store_of(caller.tenant).put(part_key(upload_id, part_id), data.file)
        with state.database.write() as session:
            check_stored_bytes(session, caller.tenant, size, state.settings.project_limits)
            part = Uploads(session, caller.tenant).add_part(upload_id, part_id, size)
    except BaseException:
        # Even if the row exists because its answer was lost: the client does not know the part's id.
        delete_parts(state, upload_id, [part_id])
        raise
    return UploadPart(id=part.id, upload_id=part.upload_id, created_at=part.created_at)


def _check_room(state: AppState, tenant: Tenant, upload_id: str, size: int) -> None:
    with state.database.read() as session:
        Uploads(session, tenant).check_room(upload_id, size)
