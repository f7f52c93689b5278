"""The current state of the pools: from Ray's nodes, or from the settings where these give only the number of
devices, or where no cluster can be asked."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from cluster.contracts.devices import Pool
from cluster.contracts.errors import Overloaded, Unavailable
from cluster.contracts.ray_nodes import ClusterReport, RayNode, WaitingGang
from service.db.scheduler.pending_work import Holding
from service.db.scheduler.pool_views import PoolNode
from service.scheduling.cluster.growth import Growth
from service.scheduling.cluster.pool_states import (
    ANY_POOL,
    HeldGang,
    Limits,
    pool_nodes,
    pool_states,
    waiting_gangs,
)
from service.scheduling.interfaces import ClusterView
from service.scheduling.policy.snapshot import Demand, PoolState

_log = structlog.get_logger()
_LOOK_SECONDS = 1.0
"""Seconds between two queries of the cluster."""
_STALE_SECONDS = 30.0
"""A report is used for this long if no newer one arrives."""
_RETRY_SECONDS = 5.0


class ClusterPools:
    def __init__(
        self,
        view: ClusterView | None,
        pools: Sequence[Pool],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._pools = pools
        self._limits = limits
        self._clock = clock
        self._waiting: Sequence[WaitingGang] = ()
        self._growth = Growth()
        self._num_nodes: Mapping[str, int] = {}
        """Nodes of each pool that jobs can start on."""
        self._report: ClusterReport | None = None
        self._are_seen = False
        self._reported_at = self._look_at = float("-inf")

    @property
    def are_seen(self) -> bool:
        """Whether Ray's nodes were seen a moment ago, so that a gang can be sent to them by node id. A
        cluster that stopped answering may be a different one when it answers again."""
        return self._are_seen

    def states(
        self,
        holdings: Sequence[Holding],
        faults: Mapping[str, int] | None = None,
        at_most: Mapping[str, int] | None = None,
    ) -> Sequence[PoolState]:
        """`holdings` are the devices that attempts hold: they are not free, even if the cluster has not
        allocated them yet. `faults` counts the failed jobs of each node, and `at_most` is the number of
        devices that jobs may hold in each limited pool.

        Raises Unavailable (`cluster_unavailable`) while it is unknown which nodes the pools have: they may
        have none, and a job would then wait in Ray for nodes that only the settings name."""
        report = self._look()
        if report is None and self._view is not None and self._pools:
            raise Unavailable("The cluster does not say which nodes it has.", code="cluster_unavailable")
        gangs = [_gang(each, is_seen=report is not None) for each in holdings]
        report = report or _configured(self._pools, self._limits)
        states = pool_states(
            report, self._pools, gangs, self._limits, faults=faults or {}, at_most=at_most or {}
        )
        self._num_nodes = {state.name: len(state.nodes) for state in states}
        return tuple(
            replace(state, is_growth_stalled=self._growth.is_stalled(state.name, self._clock()))
            for state in states
        )

    def nodes(
        self, holdings: Sequence[Holding], faults: Mapping[str, int]
    ) -> Mapping[str, Sequence[PoolNode]] | None:
        """The nodes of each pool, including those on which no job starts. None while they are unknown."""
        report = self._look()
        if report is None:
            return None
        gangs = [_gang(each, is_seen=True) for each in holdings]
        return pool_nodes(report, self._pools, gangs, self._limits, faults=faults)

    def announce(self, demand: Sequence[Demand]) -> None:
        """Asks the autoscaler to add nodes for these gangs, at the next look."""
        self._growth.update({one.pool for one in demand}, self._num_nodes, self._clock())
        self._waiting = waiting_gangs(demand, self._pools)

    def _look(self) -> ClusterReport | None:
        at = self._clock()
        if self._view is not None and at >= self._look_at:
            try:
                self._report, self._reported_at = self._view.look(self._waiting), at
                self._look_at, self._are_seen = at + _LOOK_SECONDS, True
            except (Unavailable, Overloaded) as error:
                _log.warning("the cluster's nodes are not known", error=error.message)
                self._look_at, self._are_seen = at + _RETRY_SECONDS, False
        return self._report if at - self._reported_at <= _STALE_SECONDS else None


def _gang(held: Holding, *, is_seen: bool) -> HeldGang:
    """If the nodes come from the settings, the gang has no workers on them yet."""
    if not is_seen:
        return HeldGang(held.pool, held.workers, has_started=False)
    return HeldGang(held.pool, held.workers, held.nodes, has_started=held.has_started)


def _configured(pools: Sequence[Pool], limits: Limits) -> ClusterReport:
    """A report with all nodes that the pools can have, all of them idle."""
    sizes = [
        (f"{pool.name}-{number}", pool.devices, pool.selector)
        for pool in pools
        for number in range(pool.nodes)
    ] or [(ANY_POOL, limits.slots, {})]
    gpus = 1.0 if limits.device == "cuda" else 0.0
    return ClusterReport(
        nodes=tuple(
            RayNode(
                node_id=node_id,
                labels=labels,
                cpus=devices,
                free_cpus=devices,
                gpus=devices * gpus,
                free_gpus=devices * gpus,
            )
            for node_id, devices, labels in sizes
        ),
        worker_cpus=1,
    )
