"""Carries out the policy's decisions: starts jobs, pauses or resizes others, and reports why the rest
wait."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import structlog

from cluster.contracts.durations import duration
from cluster.contracts.errors import Unavailable
from service.db.jobs.queue_places import Place
from service.db.scheduler.attempts import FOR_MODELS, MAINTENANCE
from service.db.scheduler.node_faults import Faults, keeps_failing
from service.db.scheduler.pending_work import PendingWork
from service.db.scheduler.pool_views import VIEW_SECONDS, PoolNode
from service.db.scheduler.queue_window import WaitingJob
from service.db.scheduler.store import SchedulerStore
from service.scheduling.cluster.cluster_pools import ClusterPools
from service.scheduling.cluster.gpu_arbiter import GpuArbiter
from service.scheduling.policy.decide import decide
from service.scheduling.policy.fair_order import RANKS
from service.scheduling.policy.resizing import Settling, saved_seconds
from service.scheduling.policy.snapshot import Decision, Resize, Rules, Start, WaitReason
from service.scheduling.snapshots import running_jobs, snapshot_of

_log = structlog.get_logger()
_DOWN = "the cluster does not answer."
_MAINTENANCE = "no job starts during maintenance."
_FAULTS_SECONDS = 2.0
"""Seconds between two queries for nodes on which attempts failed: the shortest pause before a retry."""
_DOWN_SECONDS = 15.0
"""A cluster outage is reported to the owners of jobs only once it has lasted this long."""


class Admission:
    def __init__(
        self,
        cluster: ClusterPools,
        arbiter: GpuArbiter,
        rules: Rules,
        *,
        report_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Queue places are recorded every `report_seconds`."""
        self._cluster = cluster
        self._arbiter = arbiter
        self._rules = rules
        self._settling = Settling()
        self._report_seconds = report_seconds
        self._clock = clock
        self._reported_at = float("-inf")
        self._has_reported: bool | None = None
        """Whether any queue place is recorded. None: unknown, since an earlier scheduler may have recorded
        some."""
        self._down_since: float | None = None
        self._faults = Faults({}, {})
        self._faults_at = float("-inf")
        self._nodes: Mapping[str, Sequence[PoolNode]] = {}
        """The nodes of each pool as they were last recorded."""
        self._nodes_at = float("-inf")

    def admit(
        self,
        jobs: SchedulerStore,
        pending: PendingWork,
        held: Collection[tuple[str, int]] | None,
        start: Callable[[Start], None],
    ) -> None:
        """Calls `start` for the jobs that start now, pauses or shrinks others to make room, and then records
        why the rest wait. `held` contains the job id and number of each attempt that still holds devices;
        None if the cluster does not answer."""
        if held is None:
            self._report_down(jobs, pending)
            return
        holdings = [each for each in pending.holdings if (each.job_id, each.number) in held]
        faults = self._recent_faults(jobs, pending)
        try:
            pools = self._cluster.states(holdings, faults.of_nodes, pending.pool_limits)
        except Unavailable:
            self._pause_for_maintenance(jobs, pending)
            self._report_down(jobs, pending)
            return
        self._down_since = None
        self._record_nodes(jobs, self._cluster.nodes(holdings, faults.of_nodes))
        running = running_jobs(holdings, pools)
        pools = self._arbiter.divided(pools, running)
        project_ids = {job.project_id for job in pending.queued} | {each.project_id for each in holdings}
        is_needed = pending.queued or any(each.sizes for each in holdings)
        standings = jobs.standings(project_ids, pending.at) if is_needed else {}
        maintenance = pending.maintenance
        considered = pending if maintenance is None else replace(pending, queued=[])
        snapshot = snapshot_of(considered, holdings, pools, standings, self._rules, faults.of_jobs)
        reports = self._is_report_due(pending)
        decision = decide(snapshot, self._rules, explains=reports)
        self._cluster.announce(decision.demand)
        waits = self._arbiter.why_wait(pools, running, decision.starts, publishes_soon=pending.publishes_soon)
        for preempt in decision.preempts:
            if jobs.displace(preempt.job_id):
                _log.info("preempting", job=preempt.job_id, for_job=preempt.for_job)
        for job in self._arbiter.pausing(pools, running, pending.at) if self._rules.may_preempt else ():
            if jobs.displace(job.job_id, FOR_MODELS):
                _log.info("pausing for models", job=job.job_id, pool=job.pool)
        for each in decision.starts:
            if each.job_id not in waits:
                start(each if self._cluster.are_seen else _anywhere(each))
        if maintenance is None:
            self._resize(jobs, decision, pending.at)
        else:
            self._pause_for_maintenance(jobs, pending)
        if reports and maintenance is not None:
            self._report(jobs, _all_wait(pending, WaitReason.MAINTENANCE, _MAINTENANCE))
        elif reports:
            self._report(jobs, _places(decision, waits))

    def _pause_for_maintenance(self, jobs: SchedulerStore, pending: PendingWork) -> None:
        if pending.maintenance is not None and pending.maintenance.pauses_jobs:
            for holding in pending.holdings:
                if not holding.is_leaving:
                    jobs.displace(holding.job_id, MAINTENANCE)

    def _resize(self, jobs: SchedulerStore, decision: Decision, at: float) -> None:
        growths = self._settling.settled(decision.growths, at, self._rules)
        for resize, why in (
            *((each, _why_shrinks(each)) for each in decision.shrinks),
            *((each, _why_grows(each, self._rules)) for each in growths),
        ):
            if jobs.resize(resize.job_id, resize.workers, why):
                _log.info("resizing", job=resize.job_id, before=resize.before, workers=resize.workers)

    def _recent_faults(self, jobs: SchedulerStore, pending: PendingWork) -> Faults:
        is_needed = bool(pending.queued or self._faults.of_nodes)
        if is_needed and self._clock() - self._faults_at >= _FAULTS_SECONDS:
            found = jobs.recent_faults(pending.at)
            for node_id, faults in found.of_nodes.items():
                if keeps_failing(faults) and not keeps_failing(self._faults.of_nodes.get(node_id, 0)):
                    _log.warning("attempts keep failing on a node", node=node_id, jobs=faults)
            self._faults, self._faults_at = found, self._clock()
        return self._faults

    def _record_nodes(self, jobs: SchedulerStore, nodes: Mapping[str, Sequence[PoolNode]] | None) -> None:
        age = self._clock() - self._nodes_at
        if nodes is not None and (
            age >= VIEW_SECONDS or (nodes != self._nodes and age >= self._report_seconds)
        ):
            jobs.record_pool_views(nodes)
            self._nodes, self._nodes_at = nodes, self._clock()

    def _is_report_due(self, pending: PendingWork) -> bool:
        is_needed = bool(pending.queued) or self._has_reported is not False
        return is_needed and self._clock() - self._reported_at >= self._report_seconds

    def _report(self, jobs: SchedulerStore, places: Sequence[Place]) -> None:
        jobs.record_places(places)
        self._reported_at, self._has_reported = self._clock(), bool(places)

    def _report_down(self, jobs: SchedulerStore, pending: PendingWork) -> None:
        """Tells the owners of queued jobs, after a while, that the state of Ray's jobs or nodes is
        unknown."""
        if self._down_since is None:
            self._down_since = self._clock()
        if self._clock() - self._down_since >= _DOWN_SECONDS and self._is_report_due(pending):
            self._report(jobs, _all_wait(pending, WaitReason.CLUSTER_UNAVAILABLE, _DOWN))


def _why_shrinks(resize: Resize) -> str:
    return (
        f"Shrinking from {resize.before} to {resize.workers} workers because another job waits for devices "
        f"of pool {resize.pool}; training resumes from the saved checkpoint"
    )


def _why_grows(resize: Resize, rules: Rules) -> str:
    idle = duration(rules.settle_seconds)
    saved = duration(round(saved_seconds(resize.seconds_left, resize.before, resize.workers, rules)))
    return (
        f"Growing from {resize.before} to {resize.workers} workers because devices of pool {resize.pool} "
        f"have been idle for {idle}; training resumes from the saved checkpoint, and should end about "
        f"{saved} earlier"
    )


def _anywhere(start: Start) -> Start:
    """Returns the start without its nodes, which exist only in the settings."""
    return replace(start, nodes={})


def _places(decision: Decision, waits: Mapping[str, Unavailable]) -> list[Place]:
    """Queue places of the jobs that wait, including those that could start if serving released their GPUs."""
    first = [start for start in decision.starts if start.job_id in waits]
    places = [
        Place(start.job_id, position, WaitReason.GPU_SERVING, waits[start.job_id].message, None, None)
        for position, start in enumerate(first, start=1)
    ]
    return places + [
        Place(job_id, len(first) + wait.position, wait.reason, wait.detail, wait.starts_at, wait.ends_at)
        for job_id, wait in decision.waits.items()
    ]


def _all_wait(pending: PendingWork, reason: WaitReason, detail: str) -> list[Place]:
    """Queue places of jobs that all wait for the same reason."""
    return [
        Place(job.job_id, position, reason, detail, None, None)
        for position, job in enumerate(_by_priority(pending.queued), start=1)
    ]


def _by_priority(queued: Sequence[WaitingJob]) -> list[WaitingJob]:
    return sorted(queued, key=lambda job: (-RANKS[job.priority], job.queued_at, job.job_id))
