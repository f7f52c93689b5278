"""The runner's one call, authenticated by its attempt's own token. Not part of the public API."""

from fastapi import APIRouter, Request

from cluster.contracts.jobs import SyncRequest, SyncResponse
from service.api.auth import ATTEMPT_PREFIX, bearer_token
from service.api.parts import UsesParts
from service.api.strict_json import StrictJsonRoute
from service.db.attempts import Attempts

router = APIRouter(route_class=StrictJsonRoute, include_in_schema=False)


@router.post(f"{ATTEMPT_PREFIX}{{job_id}}/{{number}}/sync", operation_id="attempts_sync")
def sync(request: Request, parts: UsesParts, job_id: str, number: int, body: SyncRequest) -> SyncResponse:
    """409 tells the runner that it is fenced and must exit."""
    token = bearer_token(request.headers)
    with parts.database.write() as session:
        return Attempts(session, parts.settings.retries).sync(job_id, number, token, body)
