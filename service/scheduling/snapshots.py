"""Builds the policy's input from the database's rows. Pure."""

from collections.abc import Mapping, Sequence

from service.db.scheduler.pending_work import WINDOW_PER_GROUP, Holding, PendingWork
from service.db.scheduler.queue_window import PlannedGang, WaitingJob
from service.db.scheduler.standings import ProjectStanding
from service.db.usage.decay import decayed_use
from service.scheduling.policy.snapshot import (
    Gang,
    PoolState,
    QueuedJob,
    Rules,
    RunningJob,
    Snapshot,
    Standing,
)
from service.settings import Settings

_UNKNOWN_SECONDS = 3600.0
"""Assumed duration of a job if nothing like it has run yet."""


def running_jobs(holdings: Sequence[Holding], pools: Sequence[PoolState]) -> list[RunningJob]:
    """`holdings` are the attempts that still hold their devices."""
    anywhere = pools[0].name if pools else ""
    return [_running(each, anywhere) for each in holdings]


def snapshot_of(
    pending: PendingWork,
    holdings: Sequence[Holding],
    pools: Sequence[PoolState],
    standings: Mapping[str, ProjectStanding],
    rules: Rules,
    failed_on: Mapping[str, frozenset[str]] = {},
) -> Snapshot:
    """`holdings` are those of `pending` that still hold their devices. `failed_on` gives the nodes on which
    queued jobs have failed, by job id."""
    at = pending.at
    return Snapshot(
        at=at,
        queue=[queued_job(job, pools, failed_on.get(job.job_id, frozenset())) for job in pending.queued],
        running=running_jobs(holdings, pools),
        pools=pools,
        standings={
            project_id: Standing(
                used=standing.device_seconds + _running_use(project_id, holdings, at, rules),
                weight=standing.share,
                soft_devices=standing.soft_devices,
                hard_devices=standing.max_devices,
            )
            for project_id, standing in standings.items()
        },
    )


def rules_of(settings: Settings) -> Rules:
    return Rules(
        ageing_seconds=settings.queue_ageing_seconds,
        half_life_seconds=settings.fair_share_half_life_seconds,
        may_preempt=settings.preemption,
        # If models give way to jobs, devices that no job holds are not idle.
        may_resize=settings.preemption and settings.gpu_sharing == "off",
        settle_seconds=settings.elastic_settle_seconds,
        window=WINDOW_PER_GROUP,
    )


def queued_job(
    job: WaitingJob, pools: Sequence[PoolState], failed_on: frozenset[str] = frozenset()
) -> QueuedJob:
    gangs = [
        _gang(name, gang, job)
        for gang in job.gangs
        for name in ([pool.name for pool in pools] if gang.pool is None else [gang.pool])
    ]
    return QueuedJob(
        job_id=job.job_id,
        project_id=job.project_id,
        priority=job.priority,
        queued_at=job.queued_at,
        held_seconds=job.held_seconds,
        gangs=tuple(gangs),
        may_preempt=not job.was_displaced,
        is_resizing=job.resize_to is not None,
        failed_on=failed_on,
    )


def _gang(pool: str, gang: PlannedGang, job: WaitingJob) -> Gang:
    sizes = (gang.workers, *gang.smaller)
    workers, *smaller = [size for size in sizes if size <= (job.resize_to or gang.workers)] or sizes
    seconds = _seconds(gang) * (1 - job.done) * gang.workers / workers
    return Gang(pool, workers, seconds, tuple(smaller), is_guess=gang.seconds is None)


def _running(held: Holding, anywhere: str) -> RunningJob:
    return RunningJob(
        job_id=held.job_id,
        project_id=held.project_id,
        priority=held.priority,
        queued_at=held.queued_at,
        held_seconds=held.held_seconds,
        pool=held.pool or anywhere,
        workers=held.workers,
        started_at=held.started_at,
        ends_at=held.started_at + _UNKNOWN_SECONDS if held.ends_at is None else held.ends_at,
        saved_at=held.saved_at,
        is_leaving=held.is_leaving,
        nodes=held.nodes,
        # A job that still waits for its devices has nothing to save.
        sizes=held.sizes if held.has_started else (),
    )


def _running_use(project_id: str, holdings: Sequence[Holding], at: float, rules: Rules) -> float:
    return sum(
        decayed_use(each.workers, each.started_at, at, at=at, half_life=rules.half_life_seconds)
        for each in holdings
        if each.project_id == project_id and each.has_started
    )


def _seconds(gang: PlannedGang) -> float:
    return _UNKNOWN_SECONDS if gang.seconds is None else gang.seconds
