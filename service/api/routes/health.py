"""`/healthz` and `/readyz`: public, and free of any tenant's data."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from service.api.http.document import ERROR_RESPONSES
from service.api.readiness import Part, Readiness
from service.api.schemas.base import Answer, OrDefault
from service.api.state import UsesAppState

router = APIRouter(tags=["Health"])


class Alive(Answer):
    status: Literal["alive"] = "alive"


class ReadinessAnswer(Answer):
    status: Literal["ready", "not_ready"]
    parts: dict[str, str]
    """`ok` or a problem for each requested component (database, storage, serving, scheduler); only `api`
    while the process is shutting down."""
    unavailable_bases: int
    """Number of base models that cannot be used now; `/v1/models` lists them with the reasons. The server is
    still ready for the others."""


@router.get("/healthz", operation_id="healthz", summary="Check that the process is alive")
async def healthz() -> Alive:
    # Not in a thread: it must answer even when all threads are busy.
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Check that the server can serve requests",
    responses={
        **ERROR_RESPONSES,
        503: {"model": ReadinessAnswer, "description": "A component is not ready"},
    },
)
async def readyz(
    request: Request,
    response: Response,
    state: UsesAppState,
    part: Annotated[
        list[Part],
        OrDefault,
        Query(default_factory=list, description="Check only these components; all by default."),
    ],
) -> ReadinessAnswer:
    readiness: Readiness = request.app.state.readiness
    found = await readiness.check()
    if part:
        found = {name: result for name, result in found.items() if name in (*part, "api")}
    is_ready = all(state == "ok" for state in found.values())
    if not is_ready:
        response.status_code = 503
        response.headers["retry-after"] = "1"
    return ReadinessAnswer(
        status="ready" if is_ready else "not_ready",
        parts=found,
        unavailable_bases=state.availability.num_unavailable,
    )
