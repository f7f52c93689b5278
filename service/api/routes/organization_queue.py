"""`/v1/organization/queue` and `…/pools`: waiting jobs with the reason, and the devices that jobs may
have."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest, NotFound
from service.api.http.auth import Operator, OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.jobs.public_plans import public_plan
from service.api.schemas.base import WholeNumber
from service.api.schemas.jobs import JobQueue
from service.api.schemas.organization_queue import (
    DevicePool,
    DevicePoolList,
    Queue,
    QueuedJob,
    UpdatePoolBody,
)
from service.api.state import UsesAppState
from service.db.jobs.queue_places import queue_places
from service.db.organization.queue import held_devices, num_queued, queued_jobs
from service.db.scheduler.pool_limits import pool_limits, set_pool_limit
from service.db.scheduler.pool_views import pool_views
from service.settings import Settings

router = APIRouter(prefix="/organization", tags=["Queue"], route_class=StrictJsonRoute)


@router.get("/queue", operation_id="organization_queue_list", summary="List the organization's queued jobs")
def list_queue(
    caller: OrganizationAdmin,
    state: UsesAppState,
    limit: Annotated[int, Query(ge=1, le=1000), WholeNumber] = 100,
) -> Queue:
    """Lists the queued jobs of all the organization's projects, in the order in which they are expected to
    start. A Tunery extension. Positions count the jobs of all organizations."""
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
    """Lists the pools of devices that jobs train on, as configured by the operator. All organizations share
    them. A Tunery extension."""
    with state.database.read() as session:
        queued = num_queued(session)
        data = _pools(session, state.settings)
    return DevicePoolList(data=data, slots=state.settings.training_devices, queued_jobs=queued)


@router.post("/pools/{name}", operation_id="organization_pools_update", summary="Limit a pool of devices")
def update_pool(name: str, body: UpdatePoolBody, caller: Operator, state: UsesAppState) -> DevicePool:
    """Limits how many devices of this pool the jobs of all organizations may hold together. Jobs that already
    hold more keep them. A Tunery extension."""
    pool = next((pool for pool in state.settings.pools if pool.name == name), None)
    if pool is None:
        raise NotFound(f"There is no pool '{name}'.", param="name")
    if body.max_devices is not None and body.max_devices > pool.all_devices:
        raise InvalidRequest(
            f"max_devices is {body.max_devices}, but pool '{name}' has {pool.all_devices} devices.",
            param="max_devices",
        )
    with state.database.write() as session:
        set_pool_limit(session, caller.tenant, name, body.max_devices)
        return next(found for found in _pools(session, state.settings) if found.name == name)


def _pools(session: Session, settings: Settings) -> list[DevicePool]:
    held, limits, views = held_devices(session), pool_limits(session), pool_views(session)
    first = settings.pools[0].name
    return [
        DevicePool.of(
            pool,
            sum(devices for name, devices in held if (name or first) == pool.name),
            limits.get(pool.name),
            views.get(pool.name),
        )
        for pool in settings.pools
    ]
