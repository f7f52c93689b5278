"""Forecasts how long a new job would wait, by applying the scheduler's own policy to the queue with the job
in it.

The API sees no nodes. So every node that the operator's settings name counts as present, and devices that
attempts hold count as taken. Jobs whose files are being checked count as queued, with a guess of what they
take."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from cluster.contracts.bases import BaseSpec
from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Priority
from service.db.jobs.past_runs import PastRun, past_runs, training_file_sizes
from service.db.scheduler.pending_work import PendingWork, pending_work
from service.db.scheduler.queue_window import PlannedGang, WaitingJob
from service.db.scheduler.standings import ProjectStanding, standings
from service.run_times import likely_seconds
from service.scheduling.cluster.cluster_pools import ClusterPools
from service.scheduling.cluster.pool_states import Limits
from service.scheduling.policy.decide import decide
from service.scheduling.policy.snapshot import Rules, RunningJob, Snapshot, Start, WaitReason
from service.scheduling.snapshots import queued_job, snapshot_of

_MAINTENANCE = "No job starts during maintenance."
_UNMEASURED = "No job like one that is ahead has finished on this server yet."


@dataclass(frozen=True, slots=True)
class QueueState:
    pending: PendingWork
    """Unfinished work, including the jobs whose files are being checked."""
    standings: Mapping[str, ProjectStanding]


@dataclass(frozen=True, slots=True)
class ExpectedWait:
    jobs_ahead: int
    """Number of jobs that hold devices or are expected to start earlier."""
    seconds: float | None
    problem: str | None
    """Why the time is not known."""


def waiting(
    job_id: str, project_id: str, priority: Priority, gangs: Sequence[PlannedGang], *, at: float
) -> WaitingJob:
    """A job that has not started before, and has been ready to run since `at`."""
    return WaitingJob(
        job_id=job_id,
        project_id=project_id,
        priority=priority,
        queued_at=at,
        gangs=tuple(gangs),
        done=0.0,
        start_by=None,
        was_displaced=False,
    )


def read_queue(
    session: Session, project_id: str, catalogue: Mapping[str, BaseSpec], rules: Rules
) -> QueueState:
    """`project_id` is the new job's project."""
    pending = pending_work(session)
    past: dict[str, list[PastRun]] = {}
    sizes = training_file_sizes(session, pending.validating)
    coming = []
    for job in pending.validating:
        if job.model not in past:
            past[job.model] = past_runs(session, job.model)
        seconds = likely_seconds(job, catalogue.get(job.model), sizes.get(job.training_file), past[job.model])
        gang = PlannedGang(pool=None, workers=job.num_workers, seconds=seconds)
        coming.append(waiting(job.id, job.tenant.project_id, job.priority, [gang], at=job.created_at))
    project_ids = {project_id, *(job.project_id for job in (*pending.queued, *coming))}
    project_ids |= {held.project_id for held in pending.holdings}
    found = standings(session, project_ids, at=pending.at, half_life=rules.half_life_seconds)
    return QueueState(replace(pending, queued=[*pending.queued, *coming]), found)


def expected_wait(state: QueueState, new: WaitingJob, pools: Sequence[Pool], rules: Rules) -> ExpectedWait:
    """Pure. Jobs that can start before the new one do so first, and jobs that must make room for it do so at
    once."""
    pending = state.pending
    holdings = pending.holdings
    limits = Limits(slots=sum(pool.all_devices for pool in pools), device=pools[0].kind)
    # Attempts of an earlier release do not name a pool.
    placed = [replace(held, pool=held.pool or pools[0].name) for held in holdings]
    present = ClusterPools(None, pools, limits).states(placed, at_most=pending.pool_limits)
    snapshot = snapshot_of(pending, holdings, present, state.standings, rules)
    before = _after(snapshot, decide(snapshot, rules).starts)
    with_it = [*before.queue, queued_job(new, snapshot.pools)]
    decision = decide(replace(before, queue=with_it), rules, explains=True)
    wait = decision.waits.get(new.job_id)
    leaving = {preempt.job_id for preempt in decision.preempts if preempt.for_job == new.job_id}
    ahead = {job.job_id for job in before.running} - leaving
    if wait is not None:
        ahead |= {id for id, other in decision.waits.items() if other.position < wait.position}
    if pending.maintenance is not None:
        return ExpectedWait(len(ahead), None, _MAINTENANCE)
    if wait is None or leaving or wait.reason is WaitReason.PREEMPTING:
        return ExpectedWait(len(ahead), 0.0, None)
    if ahead & _unmeasured(pending):
        return ExpectedWait(len(ahead), None, _UNMEASURED)
    if wait.starts_at is None:
        return ExpectedWait(len(ahead), None, f"The job {wait.detail}")
    return ExpectedWait(len(ahead), max(0.0, wait.starts_at - pending.at), None)


def _unmeasured(pending: PendingWork) -> set[str]:
    """Jobs of unknown duration."""
    queued = {job.job_id for job in pending.queued if any(gang.seconds is None for gang in job.gangs)}
    return queued | {held.job_id for held in pending.holdings if held.ends_at is None}


def _after(snapshot: Snapshot, starts: Sequence[Start]) -> Snapshot:
    """The snapshot after these jobs have taken their devices."""
    queued = {job.job_id: job for job in snapshot.queue}
    running = list(snapshot.running)
    taken: Counter[str] = Counter()
    for start in starts:
        job = queued.pop(start.job_id)
        gang = next(gang for gang in job.gangs if gang.pool == start.pool)
        taken.update(start.nodes)
        running.append(
            RunningJob(
                job_id=job.job_id,
                project_id=job.project_id,
                priority=job.priority,
                queued_at=job.queued_at,
                held_seconds=job.held_seconds,
                pool=start.pool,
                workers=start.workers,
                started_at=snapshot.at,
                ends_at=snapshot.at + gang.seconds * gang.workers / start.workers,
                saved_at=snapshot.at,
                nodes=start.nodes,
            )
        )
    pools = []
    for pool in snapshot.pools:
        nodes = tuple(replace(node, free=node.free - taken[node.node_id]) for node in pool.nodes)
        room = None if pool.room is None else pool.room - sum(taken[node.node_id] for node in pool.nodes)
        pools.append(replace(pool, nodes=nodes, room=room))
    return replace(snapshot, queue=list(queued.values()), running=running, pools=pools)
