"""A job's events: a page, newest first, or a stream, oldest first, until the job has ended."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cluster.contracts.errors import TuneryError
from cluster.contracts.jobs import JobStatus
from service.api.auth import Reader
from service.api.draining import Draining, UsesDraining
from service.api.parts import Parts, UsesParts
from service.api.public_jobs import public_event
from service.api.schemas.base import Absent, Flag, OrDefault, WholeNumber
from service.api.schemas.jobs import FineTuningJobEventList
from service.api.sse import EventStream, frame
from service.db.jobs import Event, Jobs
from service.db.tenancy import Tenant

router = APIRouter(prefix="/fine_tuning/jobs", tags=["Fine-tuning"])

_POLL_SECONDS = 0.5
_KEEP_ALIVE = b": keep-alive\n\n"
_KEEP_ALIVE_POLLS = 30

_Batch = tuple[Sequence[Event], JobStatus]

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
def list_events(
    caller: Reader,
    parts: UsesParts,
    draining: UsesDraining,
    job_id: str,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
    stream: Annotated[bool, Flag] = False,
    last_event_id: Annotated[int, Header(ge=-1)] = -1,
) -> FineTuningJobEventList | Response:
    """With `stream=true`, server-sent events from the first on, or from after the one that the header
    `Last-Event-ID` names, until the job has ended and everything is told, or the server is restarted: then
    come back with `Last-Event-ID`."""
    if stream:
        batch = _read(parts, caller.tenant, job_id, last_event_id)
        return EventStream(_frames(parts, caller.tenant, job_id, last_event_id, batch, draining))
    with parts.database.read() as session:
        page = Jobs(session, caller.tenant).events(job_id, after=after, limit=limit)
    return FineTuningJobEventList(data=[public_event(event) for event in page.data], has_more=page.has_more)


async def _frames(
    parts: Parts, tenant: Tenant, job_id: str, last_seq: int, batch: _Batch, draining: Draining
) -> AsyncGenerator[bytes]:
    """The database is polled: what one process writes, another one streams."""
    quiet_polls = 0
    while True:
        events, status = batch
        for event in events:
            last_seq = event.seq
            yield frame(public_event(event).model_dump_json(), event_id=str(event.seq))
        if (status.is_terminal and not events) or draining.has_begun:
            return
        if not events:
            quiet_polls += 1
            if quiet_polls % _KEEP_ALIVE_POLLS == 0:
                yield _KEEP_ALIVE
            await anyio.sleep(_POLL_SECONDS)
        try:
            batch = await run_in_threadpool(_read, parts, tenant, job_id, last_seq)
        except TuneryError:
            return  # the client comes back with Last-Event-ID


def _read(parts: Parts, tenant: Tenant, job_id: str, seq: int) -> _Batch:
    """The status is read first: once it is terminal, no event comes after those that are read next."""
    with parts.database.read() as session:
        jobs = Jobs(session, tenant)
        status = jobs.get(job_id).status
        return jobs.events_since(job_id, seq=seq), status
