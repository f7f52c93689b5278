"""A job's events: a page, newest first, or a stream, oldest first, until the job has ended."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api.http.auth import Reader, ReaderCheck
from service.api.inference.sse import EventStream
from service.api.jobs.event_feed import UsesEventFeed
from service.api.jobs.public_jobs import public_event
from service.api.schemas.base import Absent, Flag, OrDefault, WholeNumber, at_most
from service.api.schemas.jobs import FineTuningJobEventList
from service.api.state import AppState, UsesAppState
from service.db.jobs.events import JobEvents
from service.db.tenancy import Tenant

router = APIRouter(prefix="/fine_tuning/jobs", tags=["Fine-tuning"])

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/FineTuningJobEvent"}}}}
}


@router.get(
    "/{job_id}/events",
    operation_id="fine_tuning_jobs_events_list",
    summary="List or follow a job's events",
    response_model=FineTuningJobEventList,
    responses=_STREAM,
)
async def list_events(
    caller: Reader,
    state: UsesAppState,
    feed: UsesEventFeed,
    check_access: ReaderCheck,
    job_id: str,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1), WholeNumber, at_most(1_000)] = 20,
    stream: Annotated[bool, Flag] = False,
    last_event_id: Annotated[int, Header(ge=-1), WholeNumber] = -1,
) -> FineTuningJobEventList | Response:
    """Lists the job's events, newest first. A page has at most 1,000 events, even if `limit` is greater. With
    `stream=true`, sends server-sent events, starting with the first one or after the one named in the
    `Last-Event-ID` header, until the job has ended and all its events have been sent. If the server restarts
    in between, reconnect with `Last-Event-ID`."""
    if stream:
        return EventStream(await feed.follow(caller.tenant, job_id, last_event_id, check_access=check_access))
    return await run_in_threadpool(_page, state, caller.tenant, job_id, after, limit)


def _page(
    state: AppState, tenant: Tenant, job_id: str, after: str | None, limit: int
) -> FineTuningJobEventList:
    with state.database.read() as session:
        page = JobEvents(session, tenant).page(job_id, after=after, limit=limit)
    return FineTuningJobEventList(data=[public_event(event) for event in page.data], has_more=page.has_more)
