"""The nodes of the cluster as Ray reports them, and the gangs that wait for more of them."""

from pydantic import Field

from cluster.contracts.frozen import FrozenModel
from cluster.contracts.jobs import Device


class RayNode(FrozenModel):
    """A node that is alive. Held is what any process of the cluster has reserved, ours or not."""

    node_id: str
    labels: dict[str, str] = {}
    is_draining: bool = False
    """Whether it is about to go, so that nothing new starts on it."""
    cpus: float = 0.0
    free_cpus: float = 0.0
    gpus: float = 0.0
    free_gpus: float = 0.0


class WaitingGang(FrozenModel):
    """A gang for which the autoscaler shall add nodes."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")
    device: Device
    workers: int = Field(ge=1)
    workers_per_node: int = Field(ge=1)
    labels: dict[str, str] = {}
    """Labels of the nodes."""

    @property
    def parts(self) -> list[int]:
        """The workers on each node: whole nodes, and the rest on one more."""
        whole, rest = divmod(self.workers, self.workers_per_node)
        return [self.workers_per_node] * whole + [rest] * bool(rest)


class ClusterRequest(FrozenModel):
    waiting: tuple[WaitingGang, ...] = ()
    """All of them: nodes are no longer asked for a gang that is not named again within a minute."""


class ClusterReport(FrozenModel):
    nodes: tuple[RayNode, ...]
    worker_cpus: int
    """CPUs that each training worker reserves."""
