"""`/v1/organization/queue` and `…/pools`: which jobs wait for which devices, and why."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.http.auth import OrganizationAdmin
from service.api.jobs.public_plans import public_plan
from service.api.schemas.base import WholeNumber
from service.api.schemas.jobs import JobQueue
from service.api.schemas.organization_queue import DevicePool, DevicePoolList, Queue, QueuedJob
from service.api.state import UsesAppState
from service.db.jobs.queue_places import queue_places
from service.db.organization.queue import held_devices, num_queued, queued_jobs

router = APIRouter(prefix="/organization", tags=["Queue"])


@router.get("/queue", operation_id="organization_queue_list", summary="List the organization's queued jobs")
def list_queue(
    caller: OrganizationAdmin,
    state: UsesAppState,
    limit: Annotated[int, Query(ge=1, le=1000), WholeNumber] = 100,
) -> Queue:
    """Of all its projects, those that are expected to start first coming first. A Tunery extension. Positions
    count the jobs of all organizations."""
    with state.database.read() as session:
        page = queued_jobs(session, caller.tenant.organization_id, limit=limit)
        places = queue_places(session, page.data)
    data = [
        QueuedJob(
            id=job.id,
            project_id=job.tenant.project_id,
            model=job.model,
            priority=job.priority,
            num_workers=job.num_workers,
            max_workers=job.max_workers,
            plan=None if job.config is None else public_plan(job.config),
            queued_at=int(job.queued_at),
            start_by=job.start_by,
            queue=JobQueue.of(places[job.id]),
        )
        for job in page.data
    ]
    return Queue(data=data, has_more=page.has_more)


@router.get("/pools", operation_id="organization_pools_list", summary="List the pools of devices")
def list_pools(_: OrganizationAdmin, state: UsesAppState) -> DevicePoolList:
    """The devices that jobs train on, which all organizations share, as the operator's settings name them. A
    Tunery extension."""
    settings = state.settings
    with state.database.read() as session:
        held, queued = held_devices(session), num_queued(session)
    pools = settings.pools
    first = pools[0].name
    return DevicePoolList(
        data=[
            DevicePool.of(pool, sum(devices for name, devices in held if (name or first) == pool.name))
            for pool in pools
        ],
        slots=settings.training_devices,
        queued_jobs=queued,
    )
