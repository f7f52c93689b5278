"""Figures about the whole installation, over all tenants: for metrics, never for clients."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.database import now
from service.db.jobs.workers import num_workers
from service.db.retention.stored import measured_at, stored_by_kind
from service.db.scheduler.leases import READINESS
from service.db.scheduler.pool_views import PoolView, pool_views
from service.db.transitions import UNFINISHED

RECENT_SECONDS = 3600.0
"""How long an ended attempt counts as recent."""
_WAITING = (JobStatus.VALIDATING_FILES, JobStatus.QUEUED, JobStatus.PUBLISHING)


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """How an attempt ended."""

    result: str
    """finished, stopped or failed; `unknown` if it was ended from outside, for example by a cancellation."""
    code: str = ""
    """Why it failed, if it did."""
    fault: str = ""
    """job or platform, if it failed."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Ages and remaining times are in seconds; None if there is nothing of the kind."""

    jobs: Mapping[str, int]
    """Number of unended jobs by status, including statuses without jobs."""
    oldest_jobs: Mapping[tuple[str, str], float]
    """Waiting time in seconds of the job that has waited longest, by status and priority."""
    attempts: Mapping[str, int]
    """Number of attempts whose devices are not free yet, by state."""
    ended_attempts: Mapping[EndedAttempt, int]
    """Number of recently ended attempts."""
    sync_age: float | None
    checkpoint_age: float | None
    slots_held: Mapping[str, int]
    """Training processes by pool; the empty name stands for those without a pool."""
    pool_views: Mapping[str, PoolView]
    tokens_per_second: Mapping[str, float]
    """Tokens per second by base."""
    leases: Mapping[str, float]
    """Remaining time by the lease's name."""
    outbox_age: float
    webhooks_pending: int
    webhook_age: float
    sweep_age: float | None
    stored_bytes: Mapping[str, int]
    """Stored bytes by kind of object."""


def read_installation(session: Session) -> Installation:
    at = now(session)
    attempts = _unreleased(session)
    outbox, pending, due = _webhooks(session)
    return Installation(
        jobs=dict.fromkeys(UNFINISHED, 0) | _jobs(session),
        oldest_jobs={place: at - since for place, since in _oldest(session).items()},
        attempts=Counter(attempt.state for attempt, _, _ in attempts),
        ended_attempts=_ended(session, at - RECENT_SECONDS),
        sync_age=_sync_age(attempts, at),
        checkpoint_age=_checkpoint_age(session, at),
        slots_held=_slots_held(attempts),
        pool_views=pool_views(session),
        tokens_per_second=_speeds(session),
        leases={
            lease.name: lease.expires_at - at
            for lease in session.scalars(select(tables.Lease).where(tables.Lease.name != READINESS))
        },
        outbox_age=0.0 if outbox is None else at - outbox,
        webhooks_pending=pending,
        webhook_age=0.0 if due is None else max(0.0, at - due),
        sweep_age=_sweep_age(session, at),
        stored_bytes=stored_by_kind(session),
    )


_Unreleased = tuple[tables.Attempt, dict[str, Any], dict[str, Any] | None]


def _jobs(session: Session) -> dict[str, int]:
    status = tables.Job.status
    # The number of ended jobs only grows, and counting takes time in proportion to it.
    counts = select(status, func.count()).where(status.in_(UNFINISHED)).group_by(status)
    return dict(session.execute(counts).tuples().all())


def _oldest(session: Session) -> dict[tuple[str, str], float]:
    job = tables.Job
    # The wait of a resumed job starts when it was resumed. Time with devices does not count as waiting.
    queued = case((job.queued_at > job.created_at, job.queued_at), else_=job.created_at) + job.held_seconds
    # The wait of a job that is published again starts when that was requested.
    published = func.coalesce(job.publishing["since"].as_float(), job.trained_at, queued)
    since = case((job.status == JobStatus.PUBLISHING.value, published), else_=queued)
    rows = session.execute(
        select(job.status, job.priority, func.min(since))
        .where(job.status.in_([status.value for status in _WAITING]))
        .group_by(job.status, job.priority)
    )
    return {(status, priority): float(oldest) for status, priority, oldest in rows}


def _unreleased(session: Session) -> Sequence[_Unreleased]:
    rows = session.execute(
        select(tables.Attempt, tables.Job.training, tables.Job.config)
        .join(tables.Job, tables.Job.id == tables.Attempt.job_id)
        .where(tables.Attempt.released_at.is_(None))
    )
    return [(attempt, training, config) for attempt, training, config in rows]


def _slots_held(attempts: Sequence[_Unreleased]) -> Counter[str]:
    held: Counter[str] = Counter()
    for attempt, training, config in attempts:
        workers = attempt.num_workers
        held[attempt.pool or ""] += num_workers(training, config) if workers is None else workers
    return held


def _ended(session: Session, since: float) -> Counter[EndedAttempt]:
    results = session.scalars(select(tables.Attempt.result).where(tables.Attempt.ended_at >= since))
    return Counter(_how(result) for result in results)


def _how(result: Mapping[str, Any] | None) -> EndedAttempt:
    if result is None:
        return EndedAttempt("unknown")
    if result["state"] != "failed":
        return EndedAttempt(result["state"])
    return EndedAttempt("failed", result["code"], "job" if result["is_user_fault"] else "platform")


def _sync_age(attempts: Sequence[_Unreleased], at: float) -> float | None:
    syncs = [attempt.heartbeat_at for attempt, _, _ in attempts if attempt.state == "running"]
    return at - min(syncs) if syncs else None


def _checkpoint_age(session: Session, at: float) -> float | None:
    """Seconds since the newest checkpoint of a running job, or since its workers started, for the job for
    which that is longest; None if no workers are running."""
    newest = (
        select(func.max(tables.Checkpoint.created_at))
        .where(tables.Checkpoint.job_id == tables.Attempt.job_id)
        .scalar_subquery()
    )
    rows = session.execute(
        select(tables.Attempt.started_at, newest)
        .join(tables.Job, tables.Job.id == tables.Attempt.job_id)
        .where(
            tables.Job.status == JobStatus.RUNNING.value,
            tables.Attempt.number == tables.Job.attempt,
            tables.Attempt.started_at.is_not(None),
        )
    )
    since = [max(started, checkpoint or 0.0) for started, checkpoint in rows]
    return at - min(since) if since else None


def _speeds(session: Session) -> Mapping[str, float]:
    rows = session.execute(
        select(tables.Job.model, tables.Job.progress).where(tables.Job.status == JobStatus.RUNNING.value)
    )
    speeds: defaultdict[str, float] = defaultdict(float)
    for base, progress in rows:
        speeds[base] += (progress or {}).get("tokens_per_second") or 0.0
    return speeds


def _sweep_age(session: Session, at: float) -> float | None:
    """Seconds since the last completed sweep, or since there has been something to sweep; None if there is
    nothing."""
    since = measured_at(session)
    if since is None:
        since = session.scalar(select(func.min(tables.File.created_at)))
    return None if since is None else at - since


def _webhooks(session: Session) -> tuple[int | None, int, float | None]:
    """Returns when the oldest outbox entry was written, the number of pending deliveries, and the earliest
    time at which a pending delivery could have been tried: nothing is sent to a receiver during the pause
    after a failure."""
    entry, delivery, endpoint = tables.OutboxEntry, tables.WebhookDelivery, tables.WebhookEndpoint
    due_at = case(
        (delivery.next_try_at > endpoint.held_until, delivery.next_try_at), else_=endpoint.held_until
    )
    oldest = session.scalar(select(func.min(entry.created_at)).where(entry.delivered_at.is_(None)))
    pending, due = session.execute(
        select(func.count(), func.min(due_at))
        .join(endpoint, endpoint.id == delivery.endpoint_id)
        .where(delivery.status == "pending")
    ).one()
    return oldest, pending, due
