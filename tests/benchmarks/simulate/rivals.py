"""What the policy is compared with. None of them knows priorities, and none preempts."""

from collections import deque

from service.db.usage.decay import decayed
from service.scheduling.policy.placement import Places
from tests.benchmarks.simulate.simulator import Cluster, Moves, Return
from tests.benchmarks.simulate.workloads import Job

_Started = list[tuple[Job, Places]]


class Fifo:
    """The oldest job starts when it fits; those behind it wait."""

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()

    def add(self, job: Job, back: Return | None = None) -> None:
        self._queue.append(job)

    def decide(self, cluster: Cluster) -> Moves:
        starts: _Started = []
        while self._queue and (places := _taken(cluster, self._queue[0])):
            starts.append((self._queue.popleft(), places))
        _give_back(cluster, starts)
        return Moves(starts)


class Greedy:
    """The oldest job that fits starts, whoever waits before it."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[Job]] = {}
        """By the gang's size, since the oldest of each size tells whether any of it fits."""

    def add(self, job: Job, back: Return | None = None) -> None:
        self._queues.setdefault(job.workers, deque()).append(job)

    def decide(self, cluster: Cluster) -> Moves:
        starts: _Started = []
        sizes = {size for size, queue in self._queues.items() if queue}
        while sizes:
            oldest = min(sizes, key=lambda size: self._queues[size][0].sent_at)
            queue = self._queues[oldest]
            places = _taken(cluster, queue[0])
            if places:
                starts.append((queue.popleft(), places))
            if not places or not queue:
                sizes.remove(oldest)
        _give_back(cluster, starts)
        return Moves(starts)


class StrictFairShare:
    """The oldest job of the project that has used the least, in decayed device-seconds, starts when it fits;
    all others wait."""

    def __init__(self, half_life_seconds: float) -> None:
        self._half_life = half_life_seconds
        self._queues: dict[str, deque[Job]] = {}
        self._used: dict[str, float] = {}
        self._at = 0.0

    def add(self, job: Job, back: Return | None = None) -> None:
        self._queues.setdefault(job.project_id, deque()).append(job)

    def decide(self, cluster: Cluster) -> Moves:
        for project_id, used in self._used.items():
            self._used[project_id] = decayed(used, since=self._at, at=cluster.at, half_life=self._half_life)
        self._at = cluster.at
        starts: _Started = []
        while waiting := [project_id for project_id, queue in self._queues.items() if queue]:
            project_id = min(waiting, key=lambda each: (self._used.get(each, 0.0), each))
            job = self._queues[project_id][0]
            places = _taken(cluster, job)
            if not places:
                break
            starts.append((self._queues[project_id].popleft(), places))
            # Charged at once, as the policy does.
            self._used[project_id] = self._used.get(project_id, 0.0) + job.workers * job.estimate
        _give_back(cluster, starts)
        return Moves(starts)


def _taken(cluster: Cluster, job: Job) -> Places | None:
    places = cluster.fit(job.workers)
    for index, devices in places or ():
        cluster.free[index] -= devices
    return places


def _give_back(cluster: Cluster, starts: _Started) -> None:
    """The simulator takes the devices itself."""
    for _, places in starts:
        for index, devices in places:
            cluster.free[index] += devices
