"""A cluster whose time passes from event to event."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.scheduling.policy.placement import Places, fit
from service.scheduling.policy.snapshot import RunningJob
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
    workers: int
    started_at: float
    seconds: float
    """That it takes from its start on, if nobody disturbs it."""
    ends_at: float
    """As the scheduler expects it."""
    is_leaving: bool = False
    resize_to: int | None = None
    """Workers with which it goes on once it has left."""
    seen: RunningJob | None = None
    """What the policy is told of it; None once that has changed."""


@dataclass(frozen=True, slots=True)
class Return:
    """How a job comes back to the queue."""

    left: float
    """Of its time."""
    resize_to: int | None
    """The most workers with which it goes on at once; None if it was preempted."""


@dataclass(frozen=True, slots=True)
class Moves:
    starts: Sequence[tuple[Job, Places]]
    """These jobs wait no longer."""
    leaving: Sequence[tuple[Job, int | None]] = ()
    """Jobs that must leave, with the workers of those that go on at once."""
    look_after: float | None = None
    """Seconds after which there may be more to decide, whatever happens meanwhile."""


class Scheduler(Protocol):
    def add(self, job: Job, back: Return | None = None) -> None:
        """The job waits from now on. `back` if it has run before."""
        ...

    def decide(self, cluster: "Cluster") -> Moves: ...


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
    resizes: int = 0
    fairness: float = 1.0


def simulate(jobs: list[Job], devices: int, scheduler: Scheduler) -> Result:
    nodes, rest = divmod(devices, PER_NODE)
    assert not rest
    cluster = Cluster(devices, free=[PER_NODE] * nodes)
    result = Result(last_sent_at=jobs[-1].sent_at)
    shares = Shares(cluster.held)
    left = {job.job_id: (job.seconds, 0.0) for job in jobs}
    """Seconds with all its workers, and those of its restart."""
    looks_at = 0.0
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
        cluster.held[run.job.project_id] -= run.workers

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
                scheduler.add(what)
                shares.want(what.project_id, what.workers)
                is_changed = True
                continue
            if kind == "looks":
                is_changed = True
                continue
            assert isinstance(what, Run)
            job, is_there = what.job, cluster.runs.get(what.job.job_id) is what
            if kind == "speed known" and is_there:
                what.seen = None
                what.ends_at = max(what.started_at + what.seconds * job.eta / job.seconds, when)
            elif kind == "ends" and is_there and not what.is_leaving:
                release(what)
                result.ends[job.job_id] = when
                result.waits.append((job, when - job.sent_at - job.seconds))
                is_changed = True
            elif kind == "leaves":
                seconds = (what.seconds - (when - what.started_at)) * what.workers / job.workers
                left[job.job_id] = seconds, RESTART_SECONDS
                release(what)
                scheduler.add(job, Return(seconds / job.seconds, what.resize_to))
                shares.want(job.project_id, job.workers)
                is_changed = True
        if not is_changed:
            continue
        moves = scheduler.decide(cluster)
        if moves.look_after is not None and looks_at <= when:
            looks_at = when + moves.look_after
            at(looks_at, "looks", None)
        for job, places in moves.starts:
            workers = sum(taken for _, taken in places)
            of_all, restart = left[job.job_id]
            seconds = of_all * job.workers / workers + restart
            expected = seconds * job.estimate / job.seconds
            run = Run(job, places, workers, when, seconds, when + expected)
            for index, taken in places:
                cluster.free[index] -= taken
                assert cluster.free[index] >= 0
            cluster.runs[job.job_id] = run
            result.first_starts.setdefault(job.job_id, when)
            shares.want(job.project_id, -job.workers)
            cluster.held[job.project_id] = cluster.held.get(job.project_id, 0) + workers
            at(when + seconds, "ends", run)
            at(when + seconds * _ETA_AFTER, "speed known", run)
        for job, resize_to in moves.leaving:
            run = cluster.runs[job.job_id]
            # One that ends before its state is saved has ended.
            if run.started_at + run.seconds > when + SAVING_SECONDS:
                run.is_leaving, run.resize_to, run.seen = True, resize_to, None
                result.preemptions += resize_to is None
                result.resizes += resize_to is not None
                at(when + SAVING_SECONDS, "leaves", run)
    assert len(result.ends) == len(jobs), "jobs were left behind"
    result.fairness = shares.jain()
    return result
