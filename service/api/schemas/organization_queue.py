"""The queue and the pools of devices, for administrators."""

from typing import Literal

from pydantic import Field

from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Priority
from service.api.schemas.base import Answer, Body
from service.api.schemas.jobs import JobQueue
from service.api.schemas.plans import JobPlan
from service.db.scheduler.pool_views import NodeCondition
from service.db.scheduler.pool_views import PoolView as SeenPool


class QueuedJob(Answer):
    id: str
    object: Literal["organization.queued_job"] = "organization.queued_job"
    project_id: str
    model: str
    priority: Priority
    num_workers: int
    """Number of devices that the job needs at once."""
    max_workers: int
    """Number of devices that the job takes if they are free: for an elastic job, more than it needs."""
    plan: JobPlan | None
    """How the job would run in the cheapest of its pools. Null for a job created by an earlier release."""
    queued_at: int
    start_by: int | None
    queue: JobQueue


class Queue(Answer):
    object: Literal["list"] = "list"
    data: list[QueuedJob]
    has_more: bool


class PoolNode(Answer):
    id: str
    """Ray's id of the node."""
    state: NodeCondition
    """No job starts on a node that is `draining`, which means that it is about to be removed, or `avoided`,
    because attempts keep failing on it."""
    devices: int
    free_devices: int
    """Devices that are available to a job now."""
    reason: str | None
    """Why no job starts on it."""


class PoolView(Answer):
    """A pool as the scheduler last saw it."""

    seen_at: int
    standing_nodes: int
    """Nodes that jobs start on."""
    draining_nodes: int
    avoided_nodes: int
    free_devices: int
    nodes: list[PoolNode]

    @classmethod
    def of(cls, view: SeenPool) -> "PoolView":
        return cls(
            seen_at=int(view.seen_at),
            standing_nodes=view.count("standing"),
            draining_nodes=view.count("draining"),
            avoided_nodes=view.count("avoided"),
            free_devices=view.free_devices,
            nodes=[
                PoolNode(
                    id=node.node_id,
                    state=node.state,
                    devices=node.devices,
                    free_devices=node.free_devices,
                    reason=node.reason,
                )
                for node in view.nodes
            ],
        )


class DevicePool(Answer):
    name: str
    object: Literal["organization.pool"] = "organization.pool"
    kind: Literal["cuda", "cpu"]
    accelerator_type: str | None
    nodes: int
    """Maximum number of nodes."""
    devices: int
    """Total number of devices on these nodes."""
    held_devices: int
    """Number of devices that training holds, for all organizations."""
    max_devices: int | None
    """Maximum number of devices that jobs may hold at once, if an operator has set a limit."""
    price: float
    """Price of one device-second, relative to the other pools' prices."""
    view: PoolView | None
    """The pool's nodes as the scheduler last saw them. Null if it has seen none for three minutes, for
    example because serving, which reports them, does not respond."""

    @classmethod
    def of(
        cls, pool: Pool, held_devices: int, max_devices: int | None, view: SeenPool | None
    ) -> "DevicePool":
        return cls(
            name=pool.name,
            kind=pool.kind,
            accelerator_type=pool.accelerator_type,
            nodes=pool.nodes,
            devices=pool.all_devices,
            held_devices=held_devices,
            max_devices=max_devices,
            price=pool.price,
            view=None if view is None else PoolView.of(view),
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
    """Number of queued jobs of all organizations."""
