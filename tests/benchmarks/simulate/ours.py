"""The policy of the service in the simulated cluster."""

from bisect import insort

from service.db.usage.decay import decayed, decayed_use
from service.scheduling.policy.decide import decide
from service.scheduling.policy.fair_order import by_age
from service.scheduling.policy.placement import Places
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
from tests.benchmarks.simulate.simulator import Cluster, Run
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
        self._jobs: dict[str, Job] = {}
        self._used: dict[str, float] = {}
        self._at = 0.0
        self._held: dict[str, int] = {}
        self._nodes: list[NodeState] = []
        self._running: dict[str, RunningJob] = {}
        self.forecasts: list[tuple[str, float, float, float]] = []
        """Job, when it was asked for, expected start and end."""
        self.decisions = 0

    def add(self, job: Job, *, was_preempted: bool) -> None:
        self._jobs[job.job_id] = job
        gang = Gang(_POOL, job.workers, job.estimate)
        queued = QueuedJob(job.job_id, job.project_id, job.priority, job.sent_at, (gang,), not was_preempted)
        insort(self._lines.setdefault((job.project_id, job.priority), []), queued, key=by_age)

    def decide(self, cluster: Cluster) -> tuple[list[tuple[Job, Places]], list[Job]]:
        snapshot = self.snapshot(cluster)
        decision = decide(snapshot, self._rules)
        self.decisions += 1
        if self._forecasts and self.decisions % _FORECAST_EVERY == 0:
            for job_id, wait in decide(snapshot, self._rules, explains=True).waits.items():
                if wait.starts_at is not None and wait.ends_at is not None:
                    self.forecasts.append((job_id, cluster.at, wait.starts_at, wait.ends_at))
        places = self._started(decision)
        return places, [self._jobs[each.job_id] for each in decision.preempts]

    def snapshot(self, cluster: Cluster) -> Snapshot:
        self._account(cluster)
        if not self._nodes:
            self._nodes = [NodeState(str(index), PER_NODE, PER_NODE) for index in range(len(cluster.free))]
        for index, free in enumerate(cluster.free):
            if self._nodes[index].free != free:
                self._nodes[index] = NodeState(str(index), PER_NODE, free)
        return Snapshot(
            cluster.at,
            [job for line in self._lines.values() for job in line[: self._rules.window]],
            [self._seen(run) for run in cluster.runs.values()],
            [PoolState(_POOL, PER_NODE, tuple(self._nodes))],
            {project_id: Standing(used) for project_id, used in self._used.items()},
        )

    def _seen(self, run: Run) -> RunningJob:
        """Made anew only if something has changed."""
        job = run.job
        known = self._running.get(job.job_id)
        if known is None or (known.ends_at, known.is_leaving) != (run.ends_at, run.is_leaving):
            known = self._running[job.job_id] = RunningJob(
                job.job_id, job.project_id, job.priority, job.sent_at, _POOL, job.workers, run.started_at,
                run.ends_at, run.started_at, run.is_leaving, {str(index): held for index, held in run.places},
            )  # fmt: skip
        return known

    def _account(self, cluster: Cluster) -> None:
        since, self._at, half_life = self._at, cluster.at, self._rules.half_life_seconds
        for project_id, used in self._used.items():
            self._used[project_id] = decayed(used, since=since, at=cluster.at, half_life=half_life)
        for project_id, held in self._held.items():
            used = decayed_use(held, since, cluster.at, at=cluster.at, half_life=half_life)
            self._used[project_id] = self._used.get(project_id, 0.0) + used
        self._held = dict(cluster.held)

    def _started(self, decision: Decision) -> list[tuple[Job, Places]]:
        starts = []
        for start in decision.starts:
            job = self._jobs[start.job_id]
            line = self._lines[job.project_id, job.priority]
            line.remove(next(each for each in line if each.job_id == job.job_id))
            starts.append((job, [(int(node), held) for node, held in start.nodes.items()]))
        return starts
