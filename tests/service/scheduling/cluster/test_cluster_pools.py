"""What is known of the cluster's nodes while they come and go."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from cluster.contracts.devices import Pool
from cluster.contracts.errors import Unavailable
from cluster.contracts.ray_nodes import ClusterReport, RayNode, WaitingGang
from service.scheduling.cluster.cluster_pools import ClusterPools
from service.scheduling.cluster.pool_states import Limits
from service.scheduling.policy.placement import STALLED_SECONDS
from service.scheduling.policy.snapshot import Demand


@dataclass
class Cluster:
    """A ClusterView, and the time."""

    node_id: str
    is_down: bool = False
    at: float = 0.0

    def look(self, waiting: Sequence[WaitingGang]) -> ClusterReport:
        if self.is_down:
            raise Unavailable("The cluster does not answer.")
        return ClusterReport(nodes=(RayNode(node_id=self.node_id, cpus=1, free_cpus=1),), worker_cpus=1)


def test_pools_have_no_nodes_to_send_a_gang_to_while_nobody_says_which_they_have() -> None:
    cluster = Cluster("first", is_down=True)
    pool = Pool(name="training", kind="cpu", devices=2, host_bytes=2**30)
    pools = ClusterPools(cluster, (pool,), Limits(slots=2, device="cpu"), clock=lambda: cluster.at)
    with pytest.raises(Unavailable):
        pools.states([])
    cluster.is_down, cluster.at = False, 6.0
    assert [node.node_id for node in pools.states([])[0].nodes] == ["first"]
    cluster.is_down, cluster.at = True, 36.0
    assert [node.node_id for node in pools.states([])[0].nodes] == ["first"], "still of use"
    cluster.at = 37.0
    with pytest.raises(Unavailable):
        pools.states([])
    nobody_to_ask = ClusterPools(None, (pool,), Limits(slots=2, device="cpu"))
    assert [node.node_id for node in nobody_to_ask.states([])[0].nodes] == ["training-0"]


def test_gangs_are_sent_to_nodes_that_were_there_a_moment_ago_and_else_anywhere() -> None:
    cluster = Cluster("former")
    pools = ClusterPools(cluster, (), Limits(slots=2, device="cpu"), clock=lambda: cluster.at)

    def look_after(seconds: float) -> tuple[list[tuple[str, int]], bool]:
        cluster.at += seconds
        (state,) = pools.states([])
        return [(node.node_id, node.free) for node in state.nodes], pools.are_seen

    assert look_after(0) == ([("former", 1)], True)
    cluster.is_down = True
    assert look_after(1) == ([("former", 1)], False)
    assert look_after(1) == ([("former", 1)], False)
    assert look_after(30) == ([("training", 2)], False)
    cluster.is_down, cluster.node_id = False, "new"
    assert look_after(5) == ([("new", 1)], True)


def test_a_pool_to_which_no_node_is_added_for_long_is_not_expected_to_grow() -> None:
    cluster = Cluster("first")
    pool = Pool(name="grows", kind="cpu", devices=1, nodes=3, min_nodes=0, host_bytes=2**30)
    pools = ClusterPools(cluster, (pool,), Limits(slots=2, device="cpu"), clock=lambda: cluster.at)
    for at, is_stalled in ((0.0, False), (STALLED_SECONDS - 1, False), (STALLED_SECONDS, True)):
        cluster.at = at
        (state,) = pools.states([])
        assert (state.may_grow_nodes, state.is_growth_stalled) == (2, is_stalled)
        pools.announce([Demand("job", "grows", 2)])
