"""For those who watch the service: public, and telling nothing of its tenants."""

from typing import Literal

from fastapi import APIRouter, Response

from service.api.parts import UsesParts
from service.api.readiness import check_parts
from service.api.schemas.base import Answer

router = APIRouter(tags=["Health"])


class Alive(Answer):
    status: Literal["alive"] = "alive"


class Readiness(Answer):
    status: Literal["ready", "not_ready"]
    parts: dict[str, str]
    """By part (database, storage, serving, scheduler), `ok` or what is wrong with it."""


@router.get("/healthz", operation_id="healthz", summary="Whether the process is alive")
def healthz() -> Alive:
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Whether requests would be served",
    responses={503: {"model": Readiness, "description": "Some part is not ready"}},
)
async def readyz(parts: UsesParts, response: Response) -> Readiness:
    found = await check_parts(parts)
    is_ready = all(state == "ok" for state in found.values())
    if not is_ready:
        response.status_code = 503
        response.headers["retry-after"] = "1"
    return Readiness(status="ready" if is_ready else "not_ready", parts=found)
