"""What the policy decides about, and what it decides: plain data, without a database and without Ray.

Times are Unix seconds by the database's clock. A device is a GPU, or what one worker takes of a node's
processors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cluster.contracts.jobs import Priority


@dataclass(frozen=True, slots=True)
class Gang:
    """The workers of a job in one pool. They start together or not at all."""

    pool: str
    workers: int
    seconds: float
    """Expected from start to end, with all workers."""
    smaller: tuple[int, ...] = ()
    """Fewer workers with which an elastic gang may run, the most first."""
    is_guess: bool = False
    """Whether nothing is known about `seconds`: decisions need some figure, but nobody is told of it."""

    @property
    def fewest(self) -> int:
        return self.smaller[-1] if self.smaller else self.workers

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of workers that it may have, the most first."""
        return (self.workers, *self.smaller)


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that is ready to run."""

    job_id: str
    project_id: str
    priority: Priority
    queued_at: float
    """When the job was ready to run for the first time: preemption does not make it younger."""
    gangs: tuple[Gang, ...]
    """One for each pool that the job fits, in the order of preference: cheapest first. Empty if it fits
    none."""
    may_preempt: bool = True
    """False for a job that was preempted itself, so that preemption never cascades."""
    is_resizing: bool = False
    """Whether it has left its devices only in order to go on with another number of workers, which its gangs
    do not exceed. It comes before all others."""
    held_seconds: float = 0.0
    """Seconds that the job has had devices since `queued_at`. The job keeps its age in the queue, but running
    does not count as waiting."""
    failed_on: frozenset[str] = frozenset()
    """Nodes on which the platform has failed it since it last got on. It starts there only if there is no
    room elsewhere."""

    def waited(self, at: float) -> float:
        """Seconds without devices."""
        return at - self.queued_at - self.held_seconds


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that holds devices: its attempt has been submitted, and Ray has not released them yet."""

    job_id: str
    project_id: str
    priority: Priority
    queued_at: float
    pool: str
    workers: int
    started_at: float
    ends_at: float
    """Expected. One in the past is taken for "soon"."""
    saved_at: float
    """When the last resume state was saved; the start if there is none. What came after it would be done
    again."""
    is_leaving: bool = False
    """Whether it is pausing, or has ended: its devices will be free without anybody's doing."""
    nodes: Mapping[str, int] = field(default_factory=dict)
    """Devices it holds on each node. Empty if that is not known."""
    sizes: tuple[int, ...] = ()
    """The numbers of workers that an elastic job may have in its pool, the most first."""
    held_seconds: float = 0.0
    """Seconds that the job had had devices since `queued_at` before it started."""

    @property
    def waited(self) -> float:
        """Seconds without devices before it started."""
        return self.started_at - self.queued_at - self.held_seconds


@dataclass(frozen=True, slots=True)
class NodeState:
    node_id: str
    devices: int
    free: int
    served: int = 0
    """How many of the free ones models hold: they may have to let go of them first."""
    faults: int = 0
    """The number of jobs of which attempts have failed on it lately."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """Nodes of one kind, as they are now. A node that must not be used is left out."""

    name: str
    devices_per_node: int
    nodes: tuple[NodeState, ...]
    may_grow_nodes: int = 0
    """Nodes that the autoscaler could still add."""
    is_growth_stalled: bool = False
    """Whether jobs have waited for such nodes for so long that none are expected any more."""
    room: int | None = None
    """Devices that jobs may take beside those that they hold, however many are free: below zero if they hold
    too many. None: all that are free."""
    for_models: int = 0
    """Devices that would be free if models did not need them, or had no floor."""
    limit: int | None = None
    """Devices that jobs may hold at once, if an operator has limited them: one of the reasons for `room`."""

    @property
    def devices(self) -> int:
        return sum(node.devices for node in self.nodes)

    @property
    def total_free(self) -> int:
        """Devices that jobs may take now."""
        free = sum(node.free for node in self.nodes)
        return free if self.room is None else max(0, min(free, self.room))

    def with_room(self, room: int) -> "PoolState":
        """The same pool with at most this much room."""
        return replace(self, room=room if self.room is None else min(self.room, room))


@dataclass(frozen=True, slots=True)
class Standing:
    """What a project has had, and what it may have."""

    used: float = 0.0
    """Decayed device-seconds, those of its running jobs included up to now."""
    weight: float = 1.0
    """Its share beside the other projects'."""
    soft_devices: int | None = None
    """Devices it may hold at once while other projects wait."""
    hard_devices: int | None = None
    """Devices it may hold at once, ever."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    at: float
    queue: Sequence[QueuedJob]
    """In any order. The oldest of each project, priority and gang shape are enough: see `Rules.window`."""
    running: Sequence[RunningJob]
    pools: Sequence[PoolState]
    standings: Mapping[str, Standing]
    """Standings by project id. A project without one has used nothing, and has the weight 1 and no quota."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set."""

    ageing_seconds: float = 24 * 3600.0
    """A job that has waited for longer comes before all that have not, whatever its priority and project. A
    gang that needs a whole node comes first after a quarter of this time."""
    aged_share: float = 0.5
    """Share of a pool's devices for aged jobs. Aged jobs come first while those started in this way hold no
    more, so that one project's flood of jobs cannot take the cluster by its age."""
    half_life_seconds: float = 3600.0
    """After this time, half of what a project has used is forgotten."""
    may_preempt: bool = True
    may_resize: bool = True
    """Whether running elastic jobs grow and shrink."""
    settle_seconds: float = 120.0
    """Seconds that devices must have been idle before a job grows into them, and that a job must have run
    with as many workers before it gets another number of them."""
    restart_seconds: float = 60.0
    """What such a change takes."""
    window: int = 64
    """How many of its oldest jobs of each priority and gang shape a project brings into a snapshot."""


class WaitReason(StrEnum):
    POOL_FULL = "pool_full"
    POOL_LIMITED = "pool_limited"
    """An operator lets jobs have fewer devices than this one needs."""
    BEHIND_RESERVATION = "behind_reservation"
    """There are free devices, but they are kept for a job that comes earlier."""
    PREEMPTING = "preempting"
    """Other jobs are saving their state, and then leave devices: those of a lower priority all of them, and
    elastic ones some."""
    PROJECT_QUOTA = "project_quota"
    POOL_GROWING = "pool_growing"
    NO_POOL = "no_pool"
    GPU_SERVING = "gpu_serving"
    CLUSTER_UNAVAILABLE = "cluster_unavailable"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a job waits, and until when."""

    position: int
    """Position among the jobs of the snapshot that do not start now, counted from 1."""
    reason: WaitReason
    detail: str
    """One sentence for the job's owner, without the other projects' names."""
    starts_at: float | None
    ends_at: float | None
    """Expected. None if the job fits no pool, or only one that has yet to grow."""


@dataclass(frozen=True, slots=True)
class Start:
    job_id: str
    pool: str
    workers: int
    nodes: Mapping[str, int]
    """Devices to take on each node."""


@dataclass(frozen=True, slots=True)
class Preempt:
    job_id: str
    for_job: str


@dataclass(frozen=True, slots=True)
class Resize:
    """An elastic job goes on with another number of workers."""

    job_id: str
    pool: str
    before: int
    workers: int
    seconds_left: float
    """Expected, with as many workers as before."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A gang that waits for nodes which do not exist yet."""

    job_id: str
    pool: str
    workers: int


@dataclass(frozen=True, slots=True)
class Decision:
    starts: tuple[Start, ...] = ()
    preempts: tuple[Preempt, ...] = ()
    shrinks: tuple[Resize, ...] = ()
    """Elastic jobs that make room for jobs that wait."""
    growths: tuple[Resize, ...] = ()
    """What running elastic jobs could grow to, as nobody waits for these devices. They may be idle only for
    the moment: see `resizing.Settling`."""
    demand: tuple[Demand, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)
    """Waits by job id: one for every queued job that does not start now, if they were asked for."""
