"""`/healthz` and `/readyz`: public, and free of any tenant's data."""

from typing import Literal

from fastapi import APIRouter, Request, Response

from service.api.readiness import Readiness
from service.api.schemas.base import Answer
from service.api.state import UsesAppState

router = APIRouter(tags=["Health"])


class Alive(Answer):
    status: Literal["alive"] = "alive"


class ReadinessAnswer(Answer):
    status: Literal["ready", "not_ready"]
    parts: dict[str, str]
    """`ok` or a problem for each component (database, storage, serving, scheduler); only `api` while the
    process is shutting down."""
    unavailable_bases: int
    """How many base models cannot be used now: `/v1/models` names them and says why. The server is still
    ready for the others."""


@router.get("/healthz", operation_id="healthz", summary="Check that the process is alive")
async def healthz() -> Alive:
    # Not in a thread: it must answer even when all threads are busy.
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Check that requests would be served",
    responses={503: {"model": ReadinessAnswer, "description": "A component is not ready"}},
)
async def readyz(request: Request, response: Response, state: UsesAppState) -> ReadinessAnswer:
    readiness: Readiness = request.app.state.readiness
    found = await readiness.check()
    is_ready = all(state == "ok" for state in found.values())
    if not is_ready:
        response.status_code = 503
        response.headers["retry-after"] = "1"
    return ReadinessAnswer(
        status="ready" if is_ready else "not_ready",
        parts=found,
        unavailable_bases=state.availability.num_unavailable,
    )
