"""A cluster whose time passes from event to event."""

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from service.scheduling.policy.placement import Places, fit
from tests.benchmarks.simulate.shares import Shares
from tests.benchmarks.simulate.workloads import PER_NODE, Job

SAVING_SECONDS = 30.0
"""From the command to leave until the devices are free: a job leaves with its state saved."""
RESTART_SECONDS = 60.0
"""What a job that was preempted takes to be where it was."""
_ETA_AFTER = 0.05
"""Of its time a job has trained when its speed is known."""


@dataclass(eq=False)
class Run:
    """A job that holds devices."""

    job: Job
    places: Places
    started_at: float
    seconds: float
    """That it takes from now on, if nobody disturbs it."""
    ends_at: float
    """As the scheduler expects it."""
    is_leaving: bool = False


class Scheduler(Protocol):
    def add(self, job: Job, *, was_preempted: bool) -> None:
        """The job waits from now on."""
        ...

    def decide(self, cluster: "Cluster") -> tuple[list[tuple[Job, Places]], list[Job]]:
        """The jobs that start now, which wait no longer, and those that must leave."""
        ...


@dataclass(slots=True)
class Cluster:
    devices: int
    at: float = 0.0
    free: list[int] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    """By job id, in the order of their starts."""
    held: dict[str, int] = field(default_factory=dict)
    """Devices of each project."""

    def fit(self, workers: int) -> Places | None:
        if max(self.free) < min(workers, PER_NODE):
            return None
        return fit(self.free, workers, PER_NODE)


@dataclass(slots=True)
class Result:
    waits: list[tuple[Job, float]] = field(default_factory=list)
    """Time from sending to end in which the job did not get on."""
    first_starts: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    held_seconds: float = 0.0
    """Of devices, until the last job was sent."""
    last_sent_at: float = 0.0
    preemptions: int = 0
    fairness: float = 1.0


def simulate(jobs: list[Job], devices: int, scheduler: Scheduler) -> Result:
    nodes, rest = divmod(devices, PER_NODE)
    assert not rest
    cluster = Cluster(devices, free=[PER_NODE] * nodes)
    result = Result(last_sent_at=jobs[-1].sent_at)
    shares = Shares(cluster.held)
    left = {job.job_id: job.seconds for job in jobs}
    events: list[tuple[float, int, str, object]] = []
    count = 0

    def at(when: float, kind: str, what: object) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (when, count, kind, what))

    def release(run: Run) -> None:
        for index, held in run.places:
            cluster.free[index] += held
        del cluster.runs[run.job.job_id]
        cluster.held[run.job.project_id] -= run.job.workers

    for job in jobs:
        at(job.sent_at, "sent", job)
    while events:
        when = events[0][0]
        shares.pass_time(when - cluster.at)
        if when <= result.last_sent_at:
            held = cluster.devices - sum(cluster.free)
            result.held_seconds += held * (when - cluster.at)
        cluster.at = when
        is_changed = False
        while events and events[0][0] == when:
            _, _, kind, what = heapq.heappop(events)
            if kind == "sent":
                assert isinstance(what, Job)
                scheduler.add(what, was_preempted=False)
                shares.want(what.project_id, what.workers)
                is_changed = True
                continue
            assert isinstance(what, Run)
            job, is_there = what.job, cluster.runs.get(what.job.job_id) is what
            if kind == "speed known" and is_there:
                what.ends_at = max(what.started_at + what.seconds * job.eta / job.seconds, when)
            elif kind == "ends" and is_there and not what.is_leaving:
                release(what)
                result.ends[job.job_id] = when
                result.waits.append((job, when - job.sent_at - job.seconds))
                is_changed = True
            elif kind == "leaves":
                left[job.job_id] = what.seconds - (when - what.started_at) + RESTART_SECONDS
                release(what)
                scheduler.add(job, was_preempted=True)
                shares.want(job.project_id, job.workers)
                is_changed = True
        if not is_changed:
            continue
        starts, leaving = scheduler.decide(cluster)
        for job, places in starts:
            seconds = left[job.job_id]
            run = Run(job, places, when, seconds, when + job.estimate * seconds / job.seconds)
            for index, taken in places:
                cluster.free[index] -= taken
                assert cluster.free[index] >= 0
            cluster.runs[job.job_id] = run
            result.first_starts.setdefault(job.job_id, when)
            shares.want(job.project_id, -job.workers)
            cluster.held[job.project_id] = cluster.held.get(job.project_id, 0) + job.workers
            at(when + seconds, "ends", run)
            at(when + seconds * _ETA_AFTER, "speed known", run)
        for job in leaving:
            run = cluster.runs[job.job_id]
            # One that ends before its state is saved has ended.
            if run.started_at + run.seconds > when + SAVING_SECONDS:
                run.is_leaving = True
                result.preemptions += 1
                at(when + SAVING_SECONDS, "leaves", run)
    assert len(result.ends) == len(jobs), "jobs were left behind"
    result.fairness = shares.jain()
    return result
