"""What is known of the cluster's nodes while they come and go."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.contracts.errors import Unavailable
from cluster.contracts.ray_nodes import ClusterReport, RayNode, WaitingGang
from service.scheduling.cluster.cluster_pools import ClusterPools
from service.scheduling.cluster.pool_states import Limits


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
