"""The queue and the pools of devices, for administrators."""

from typing import Literal

from pydantic import Field

from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Priority
from service.api.schemas.base import Answer, Body
from service.api.schemas.jobs import JobQueue
from service.api.schemas.plans import JobPlan


class QueuedJob(Answer):
    id: str
    object: Literal["organization.queued_job"] = "organization.queued_job"
    project_id: str
    model: str
    priority: Priority
    num_workers: int
    """Devices that it needs at once."""
    max_workers: int
    """Devices that it takes if they are free: more than it needs if it is elastic."""
    plan: JobPlan | None
    """How it would run in the cheapest of its pools. Null for a job of an earlier release."""
    queued_at: int
    start_by: int | None
    queue: JobQueue


class Queue(Answer):
    object: Literal["list"] = "list"
    data: list[QueuedJob]
    has_more: bool


class DevicePool(Answer):
    name: str
    object: Literal["organization.pool"] = "organization.pool"
    kind: Literal["cuda", "cpu"]
    accelerator_type: str | None
    nodes: int
    """Maximum number of nodes."""
    devices: int
    """Devices of all these nodes."""
    held_devices: int
    """Devices that training holds, for all organizations."""
    max_devices: int | None
    """Maximum number of devices that jobs may hold at once, if an operator has set a limit."""
    price: float
    """Price of one device-second, relative to the other pools' prices."""

    @classmethod
    def of(cls, pool: Pool, held_devices: int, max_devices: int | None) -> "DevicePool":
        return cls(
            name=pool.name,
            kind=pool.kind,
            accelerator_type=pool.accelerator_type,
            nodes=pool.nodes,
            devices=pool.all_devices,
            held_devices=held_devices,
            max_devices=max_devices,
            price=pool.price,
        )


class UpdatePoolBody(Body):
    max_devices: int | None = Field(ge=0)
    """Maximum number of devices that jobs may hold at once. With 0, no job starts there; null removes the
    limit."""


class DevicePoolList(Answer):
    object: Literal["list"] = "list"
    data: list[DevicePool]
    slots: int
    """Maximum number of devices that training uses at once, over all pools."""
    queued_jobs: int
    """Queued jobs of all organizations."""
