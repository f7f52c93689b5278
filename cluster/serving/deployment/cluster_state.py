"""Reports Ray's nodes, what is free on them, and its autoscaler to the scheduler, which does not talk to Ray
itself.

Ray's dashboard lists nodes without their free resources, so these come from Ray's GCS.

Demand is announced as pending placement groups. An autoscaler adds all nodes for such a group, with its
labels, and the group ends with the process that owns it. `ray.autoscaler.sdk.request_resources` would not
work: each call replaces the previous one, whoever made it.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # It is compiled.
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.core.generated.autoscaler_pb2 import NodeStatus
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from cluster.contracts.errors import Unavailable
from cluster.contracts.ray_nodes import ClusterReport, ClusterRequest, RayNode, WaitingGang
from cluster.worker_resources import resources_per_worker, worker_cpus

_log = logging.getLogger(__name__)

_DEMAND_SECONDS = 60.0
"""How long nodes are requested for a gang that is not named again, because the scheduler may be gone."""


class ClusterState:
    def __init__(self) -> None:
        self._gcs: Any = None
        self._groups: dict[str, PlacementGroup] = {}
        """Placement groups by gang, as JSON."""
        self._served: dict[str, float] = {}
        """Gangs whose nodes have arrived, and when. The nodes may be removed again if the gang does not take
        them."""
        self._asked_at = time.monotonic()
        self._lock = asyncio.Lock()
        self._expiring: asyncio.Task[None] | None = None

    async def answer(self, request: ClusterRequest) -> ClusterReport:
        """Answers with nodes and autoscaler. Raises Unavailable if Ray's head does not answer."""
        self._expiring = self._expiring or asyncio.create_task(self._expire())
        self._asked_at = time.monotonic()
        try:
            async with self._lock:
                await asyncio.to_thread(self._announce, request.waiting)
                nodes = await asyncio.to_thread(self._nodes)
        except Exception as error:
            self._gcs = None
            raise Unavailable(f"Ray does not answer: {error!r}.", code="ray_unavailable") from error
        return ClusterReport(nodes=tuple(nodes), worker_cpus=worker_cpus())

    def _nodes(self) -> list[RayNode]:
        if self._gcs is None:
            self._gcs = GcsClient(address=ray.get_runtime_context().gcs_address)
        state = get_cluster_resource_state(self._gcs)
        return [_node(node) for node in state.node_states if node.status != NodeStatus.DEAD]

    def _announce(self, waiting: Sequence[WaitingGang]) -> None:
        """Announces the demand of waiting gangs. A group that has its nodes is removed, so that the job that
        the scheduler starts next can take them."""
        named, now = {gang.model_dump_json(): gang for gang in waiting}, time.monotonic()
        for name in self._groups.keys() - named.keys():
            remove_placement_group(self._groups.pop(name))
        self._served = {
            name: at for name, at in self._served.items() if name in named and now - at < _DEMAND_SECONDS
        }
        for name, gang in named.items():
            if name not in self._groups and name not in self._served:
                _log.info("Asking for nodes for %s: %d workers.", gang.name, gang.workers)
                self._groups[name] = _group(gang)
        for name, group in list(self._groups.items()):
            if placement_group_table(group)["state"] == "CREATED":
                self._served[name] = now
                remove_placement_group(self._groups.pop(name))

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_DEMAND_SECONDS / 4)
            if self._groups and time.monotonic() - self._asked_at > _DEMAND_SECONDS:
                async with self._lock:
                    await asyncio.to_thread(self._announce, ())


def _node(state: Any) -> RayNode:
    in_all, free = dict(state.total_resources), dict(state.available_resources)
    return RayNode(
        node_id=state.node_id.hex(),
        labels=dict(state.labels),
        is_draining=state.status == NodeStatus.DRAINING,
        cpus=in_all.get("CPU", 0.0),
        free_cpus=free.get("CPU", 0.0),
        gpus=in_all.get("GPU", 0.0),
        free_gpus=free.get("GPU", 0.0),
    )


def _group(gang: WaitingGang) -> PlacementGroup:
    """Makes one bundle for each node that the gang needs."""
    each = resources_per_worker(gang.device)
    bundles = [{name: number * part for name, number in each.items()} for part in gang.parts]
    selectors = [dict(gang.labels)] * len(bundles) if gang.labels else None
    return placement_group(bundles, strategy="STRICT_SPREAD", bundle_label_selector=selectors)
