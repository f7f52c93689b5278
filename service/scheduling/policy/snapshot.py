"""The inputs and the results of the policy: plain data, without a database and without Ray.

Times are Unix seconds by the database's clock. A device is a GPU, or the share of a node's processors that
one worker takes.
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
    """Expected time from start to end, with all workers."""
    smaller: tuple[int, ...] = ()
    """Smaller numbers of workers with which an elastic gang may run, in descending order."""
    is_guess: bool = False
    """Whether `seconds` is a guess because nothing is known: decisions need a figure, but it is not shown to
    anyone."""

    @property
    def fewest(self) -> int:
        return self.smaller[-1] if self.smaller else self.workers

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of workers that it may have, in descending order."""
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
    """One for each pool that the job fits, in order of preference: cheapest first. Empty if it fits none."""
    may_preempt: bool = True
    """False for a job that was preempted itself, so that preemption never cascades."""
    is_resizing: bool = False
    """Whether it has left its devices only to continue with another number of workers, which its gangs do not
    exceed. It comes before all others."""
    held_seconds: float = 0.0
    """Seconds for which the job has held devices since `queued_at`. The job keeps its age in the queue, but
    running does not count as waiting."""
    failed_on: frozenset[str] = frozenset()
    """Nodes on which platform faults have failed the job since it last made progress. It starts on them only
    if there is no room elsewhere."""

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
    """Expected end. A time in the past means "soon"."""
    saved_at: float
    """When the last resume state was saved, or the start if there is none. Work after that would be
    repeated."""
    is_leaving: bool = False
    """Whether it is pausing or has ended, so that its devices become free without further action."""
    nodes: Mapping[str, int] = field(default_factory=dict)
    """Devices it holds on each node. Empty if that is not known."""
    sizes: tuple[int, ...] = ()
    """The numbers of workers that an elastic job may have in its pool, the most first."""
    held_seconds: float = 0.0
    """Seconds for which the job had held devices since `queued_at` before it started."""

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
    """How many of the free devices models hold: models may have to release them first."""
    faults: int = 0
    """The number of jobs whose attempts have failed on the node lately."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """Nodes of one kind, as they are now. Nodes that must not be used are left out."""

    name: str
    devices_per_node: int
    nodes: tuple[NodeState, ...]
    may_grow_nodes: int = 0
    """Nodes that the autoscaler could still add."""
    is_growth_stalled: bool = False
    """Whether jobs have waited for such nodes for so long that none are expected any more."""
    room: int | None = None
    """Devices that jobs may take in addition to those that they hold, however many are free: negative if they
    hold too many. None: all that are free."""
    for_models: int = 0
    """Devices that would be free if models did not need them and had no floor."""
    limit: int | None = None
    """Devices that jobs may hold at once, if an operator has limited them: one of the limits behind
    `room`."""

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
    """What a project has used, and what it may use."""

    used: float = 0.0
    """Decayed device-seconds, including those of its running jobs up to now."""
    weight: float = 1.0
    """Its share relative to the other projects'."""
    soft_devices: int | None = None
    """Devices it may hold at once while other projects wait."""
    hard_devices: int | None = None
    """Devices it may hold at once, ever."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    at: float
    queue: Sequence[QueuedJob]
    """In any order. The oldest jobs of each project, priority and gang shape are enough: see
    `Rules.window`."""
    running: Sequence[RunningJob]
    pools: Sequence[PoolState]
    standings: Mapping[str, Standing]
    """Standings by project id. A project without one has used nothing, has the weight 1 and no quota."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that an operator may set."""

    ageing_seconds: float = 24 * 3600.0
    """A job that has waited for longer than this comes before all jobs that have not, whatever its priority
    and project. A gang that needs a whole node comes first after a quarter of this time."""
    aged_share: float = 0.5
    """Share of a pool's devices for aged jobs. Aged jobs come first while those started in this way hold no
    more than this, so that one project's flood of jobs cannot take over the cluster by age."""
    half_life_seconds: float = 3600.0
    """After this time, half of what a project has used is forgotten."""
    may_preempt: bool = True
    may_resize: bool = True
    """Whether running elastic jobs grow and shrink."""
    settle_seconds: float = 120.0
    """Seconds for which devices must have been idle before a job grows into them, and for which a job must
    have run with its current number of workers before that number changes."""
    restart_seconds: float = 60.0
    """Time that such a change takes."""
    window: int = 64
    """How many of its oldest jobs of each priority and gang shape a project contributes to a snapshot."""


class WaitReason(StrEnum):
    POOL_FULL = "pool_full"
    POOL_LIMITED = "pool_limited"
    """An operator allows jobs fewer devices than this one needs."""
    BEHIND_RESERVATION = "behind_reservation"
    """There are free devices, but they are kept for an earlier job."""
    PREEMPTING = "preempting"
    """Other jobs are saving their state and will then release devices: jobs of a lower priority release all
    of them, elastic ones some."""
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
    """One sentence for the job's owner, without the names of other projects."""
    starts_at: float | None
    ends_at: float | None
    """Expected times. None if the job fits no pool, or only a pool that has yet to grow."""


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
    """An elastic job continues with another number of workers."""

    job_id: str
    pool: str
    before: int
    workers: int
    seconds_left: float
    """Expected remaining time with the previous number of workers."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A gang that waits for nodes that do not exist yet."""

    job_id: str
    pool: str
    workers: int


@dataclass(frozen=True, slots=True)
class Decision:
    starts: tuple[Start, ...] = ()
    preempts: tuple[Preempt, ...] = ()
    shrinks: tuple[Resize, ...] = ()
    """Elastic jobs that make room for waiting jobs."""
    growths: tuple[Resize, ...] = ()
    """Possible growths of running elastic jobs into devices that nobody waits for. The devices may be idle
    only for a moment: see `resizing.Settling`."""
    demand: tuple[Demand, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)
    """Waits by job id: one for every queued job that does not start now, if they were requested."""
