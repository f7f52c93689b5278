"""The order in which waiting jobs are considered."""

import heapq
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from service.scheduling.policy.snapshot import QueuedJob, Rules, RunningJob, Snapshot, Standing

RANKS: Mapping[str, int] = {"low": 0, "normal": 1, "high": 2}
_NODES_AGE = 4.0


class Ageing:
    """Tracks which jobs have waited for longer than the cap. A gang that needs a whole node or more ages four
    times as fast, because smaller gangs find room between others and it does not."""

    def __init__(self, snapshot: Snapshot, rules: Rules) -> None:
        self._at, self._seconds = snapshot.at, rules.ageing_seconds
        self._per_node = {pool.name: pool.devices_per_node for pool in snapshot.pools}

    def aged(self, queue: Iterable[QueuedJob]) -> list[QueuedJob]:
        """The aged jobs, oldest first."""
        at, least = self._at, self._seconds / _NODES_AGE
        return sorted((job for job in queue if job.waited(at) > least and self._is_aged(job)), key=by_age)

    def had_aged(self, job: RunningJob) -> bool:
        """Whether the job was aged when it started."""
        return job.waited > self._cap(job.pool, job.workers)

    def _is_aged(self, job: QueuedJob) -> bool:
        if not job.gangs:
            return False
        gang = job.gangs[0]
        return job.waited(self._at) > self._cap(gang.pool, gang.fewest)

    def _cap(self, pool: str, workers: int) -> float:
        needs_node = workers >= self._per_node.get(pool, sys.maxsize)
        return self._seconds / _NODES_AGE if needs_node else self._seconds


def expected_end(job: RunningJob, at: float) -> float:
    """Returns when the job should end. An overdue job is expected to take another tenth of its time so
    far."""
    if job.is_leaving:
        return at
    return job.ends_at if job.ends_at > at else at + (at - job.started_at) / 10


class FairOrder:
    """Orders jobs by priority, then by how little the project has used relative to its share, then by the
    project's own order. That is by age, but a job counts as younger by the device-seconds that it takes:
    short and small jobs come first, and no job waits for jobs submitted later than that.

    A project's use is its decayed device-seconds plus everything that its running jobs are still expected to
    use: a project does not start many long jobs at once only because it has used nothing so far."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._at = at = snapshot.at
        self._standings = snapshot.standings
        self.held: dict[str, int] = {}
        """Devices that each project holds."""
        self.began: list[tuple[str, int, float]] = []
        """The projects, workers and expected ends of the gangs that start now."""
        self._charged: dict[str, float] = {}
        held, charged = self.held, self._charged
        for job in snapshot.running:
            project_id, workers = job.project_id, job.workers
            held[project_id] = held.get(project_id, 0) + workers
            charged[project_id] = charged.get(project_id, 0.0) + workers * (expected_end(job, at) - at)

    def hold(self, project_id: str, workers: int, seconds: float) -> None:
        """Counts a gang that runs for this long from now on."""
        self.held[project_id] = self.held.get(project_id, 0) + workers
        self.began.append((project_id, workers, self._at + seconds))
        self.charge(project_id, workers * seconds)

    def charge(self, project_id: str, device_seconds: float) -> None:
        self._charged[project_id] = self._charged.get(project_id, 0.0) + device_seconds

    def standing(self, project_id: str) -> Standing:
        return self._standings.get(project_id, _NEW)

    def is_over(self, job: QueuedJob) -> bool:
        """Whether the job's project would hold more devices than its soft quota."""
        soft = self.standing(job.project_id).soft_devices
        fewest = job.gangs[0].fewest if job.gangs else 0
        return soft is not None and self.held.get(job.project_id, 0) + fewest > soft

    def jobs(self, queue: Iterable[QueuedJob]) -> Iterator[QueuedJob]:
        """The jobs in order. Use that is charged during the iteration counts for the jobs that follow."""
        classes: dict[str, dict[str, list[QueuedJob]]] = defaultdict(lambda: defaultdict(list))
        for job in queue:
            classes[job.priority][job.project_id].append(job)
        for priority in sorted(classes, key=RANKS.__getitem__, reverse=True):
            lines = classes[priority]
            for line in lines.values():
                line.sort(key=_age_and_work, reverse=True)
            heap = [self._entry(line[-1]) for line in lines.values()]
            heapq.heapify(heap)
            while heap:
                line = lines[heap[0][-1]]
                yield line.pop()
                if line:
                    heapq.heapreplace(heap, self._entry(line[-1]))
                else:
                    heapq.heappop(heap)

    def _entry(self, job: QueuedJob) -> tuple[bool, float, float, str]:
        project_id = job.project_id
        standing = self.standing(project_id)
        had = standing.used + self._charged.get(project_id, 0.0)
        is_over = standing.soft_devices is not None and self.is_over(job)
        return is_over, had / standing.weight, job.queued_at, project_id


_NEW = Standing()


def by_age(job: QueuedJob) -> tuple[float, str]:
    return job.queued_at, job.job_id


def _age_and_work(job: QueuedJob) -> tuple[float, str]:
    work = job.gangs[0].workers * job.gangs[0].seconds if job.gangs else 0.0
    return job.queued_at + work, job.job_id
