"""The policy of the service in the simulated cluster."""

from bisect import insort

from service.db.usage.decay import decayed, decayed_use
from service.scheduling.policy.decide import decide
from service.scheduling.policy.fair_order import by_age
from service.scheduling.policy.placement import Places
from service.scheduling.policy.resizing import Settling
from service.scheduling.policy.snapshot import (
    Decision,
    Gang,
    NodeState,
    PoolState,
    QueuedJob,
    Rules,
    RunningJob,
    Snapshot,
    Standing,
)
from tests.benchmarks.simulate.simulator import Cluster, Moves, Return, Run
from tests.benchmarks.simulate.workloads import PER_NODE, Job

_POOL = "gpus"
_FORECAST_EVERY = 200
"""Decisions of which each wait is forecast too."""


class Ours:
    """Brings the policy what the service would: the oldest jobs of each project and priority, the running
    ones with their expected ends, the nodes, and what projects have used."""

    def __init__(self, rules: Rules, *, forecasts: bool = True) -> None:
        self._rules = rules
        self._forecasts = forecasts
        self._lines: dict[tuple[str, str], list[QueuedJob]] = {}
        self._resizing: dict[str, QueuedJob] = {}
        self._jobs: dict[str, Job] = {}
        self._used: dict[str, float] = {}
        self._at = 0.0
        self._held: dict[str, int] = {}
        self._nodes: list[NodeState] = []
        self.forecasts: list[tuple[str, float, float, float]] = []
        """Job, when it was asked for, expected start and end."""
        self.decisions = 0
        self._settling = Settling()
        self._displaced: set[str] = set()
        """Jobs that were preempted."""

    def add(self, job: Job, back: Return | None = None) -> None:
        self._jobs[job.job_id] = job
        resize_to = None if back is None else back.resize_to
        sizes = (job.workers, *job.smaller)
        most, *smaller = [size for size in sizes if resize_to is None or size <= resize_to]
        seconds = job.estimate * (1.0 if back is None else back.left) * job.workers / most
        gang = Gang(_POOL, most, seconds, tuple(smaller))
        if back is not None and resize_to is None:
            self._displaced.add(job.job_id)
        queued = QueuedJob(
            job.job_id, job.project_id, job.priority, job.sent_at, (gang,),
            may_preempt=job.job_id not in self._displaced, is_resizing=resize_to is not None,
        )  # fmt: skip
        if queued.is_resizing:
            self._resizing[job.job_id] = queued
        else:
            insort(self._lines.setdefault((job.project_id, job.priority), []), queued, key=by_age)

    def decide(self, cluster: Cluster) -> Moves:
        snapshot = self.snapshot(cluster)
        decision = decide(snapshot, self._rules)
        self.decisions += 1
        if self._forecasts and self.decisions % _FORECAST_EVERY == 0:
            for job_id, wait in decide(snapshot, self._rules, explains=True).waits.items():
                if wait.starts_at is not None and wait.ends_at is not None:
                    self.forecasts.append((job_id, cluster.at, wait.starts_at, wait.ends_at))
        growths = self._settling.settled(decision.growths, cluster.at, self._rules)
        leaving: list[tuple[Job, int | None]] = [
            *((self._jobs[each.job_id], None) for each in decision.preempts),
            *((self._jobs[each.job_id], each.workers) for each in (*decision.shrinks, *growths)),
        ]
        is_idle = len(growths) < len(decision.growths)
        return Moves(self._started(decision), leaving, self._rules.settle_seconds + 1 if is_idle else None)

    def snapshot(self, cluster: Cluster) -> Snapshot:
        self._account(cluster)
        if not self._nodes:
            self._nodes = [NodeState(str(index), PER_NODE, PER_NODE) for index in range(len(cluster.free))]
        for index, free in enumerate(cluster.free):
            if self._nodes[index].free != free:
                self._nodes[index] = NodeState(str(index), PER_NODE, free)
        return Snapshot(
            cluster.at,
            [
                *self._resizing.values(),
                *(job for line in self._lines.values() for job in line[: self._rules.window]),
            ],
            [run.seen or _seen(run) for run in cluster.runs.values()],
            [PoolState(_POOL, PER_NODE, tuple(self._nodes))],
            {project_id: Standing(used) for project_id, used in self._used.items()},
        )

    def _account(self, cluster: Cluster) -> None:
        since, at, half_life = self._at, cluster.at, self._rules.half_life_seconds
        left = decayed(1.0, since=since, at=at, half_life=half_life)
        of_each = decayed_use(1, since, at, at=at, half_life=half_life)
        for project_id, held in self._held.items():
            self._used[project_id] = self._used.get(project_id, 0.0) * left + held * of_each
        self._at, self._held = at, dict(cluster.held)

    def _started(self, decision: Decision) -> list[tuple[Job, Places]]:
        starts = []
        for start in decision.starts:
            job = self._jobs[start.job_id]
            if self._resizing.pop(job.job_id, None) is None:
                line = self._lines[job.project_id, job.priority]
                line.remove(next(each for each in line if each.job_id == job.job_id))
            starts.append((job, [(int(node), held) for node, held in start.nodes.items()]))
        return starts


def _seen(run: Run) -> RunningJob:
    job = run.job
    run.seen = RunningJob(
        job.job_id, job.project_id, job.priority, job.sent_at, _POOL, run.workers, run.started_at,
        run.ends_at, run.started_at, run.is_leaving, {str(index): held for index, held in run.places},
        (job.workers, *job.smaller) if job.smaller else (),
    )  # fmt: skip
    return run.seen
