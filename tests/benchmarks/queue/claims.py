"""Schedulers, each a process of its own, that claim all queued jobs.

Their leases are so short that one takes over from the other all the time, even in the middle of its claims.
"""

import multiprocessing
import time
from collections import Counter
from contextlib import closing
from typing import Any

from sqlalchemy import func, select

from cluster.contracts.errors import Unavailable
from service.db import tables
from service.db.database import Database
from service.db.scheduler.leases import LeaseLost, Leases
from service.db.scheduler.store import LEASE, SchedulerStore

_LEASE_SECONDS = 2.0
_START_SECONDS, _CLAIM_SECONDS = 120.0, 3600.0


def claim_all(url: str, count: int, schedulers: int) -> dict[str, Any]:
    """Measures from when all schedulers are up until every job is claimed."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(schedulers + 1), context.Queue()
    processes = [
        context.Process(target=_scheduler, args=(url, f"s{number}", barrier, results), daemon=True)
        for number in range(schedulers)
    ]
    for process in processes:
        process.start()
    barrier.wait(_START_SECONDS)
    begun = time.monotonic()
    found = [results.get(timeout=_CLAIM_SECONDS) for _ in processes]
    seconds = time.monotonic() - begun
    for process in processes:
        process.join()
    claimed, busy = sum(each[0] for each in found), sum(each[1] for each in found)
    with closing(Database(url)) as database, database.read() as session:
        attempts = Counter(session.scalars(select(tables.Attempt.job_id)))
    twice = [job for job, number in attempts.items() if number > 1]
    if twice or len(attempts) != count or claimed != count:
        raise SystemExit(f"{len(twice)} job(s) claimed twice, {len(attempts)} of {count} claimed")
    return {
        "claims_per_second": round(count / seconds, 1),
        "claimed_twice": len(twice),
        "tenures": sum(each[2] for each in found),
        "busy": busy,
    }


def _scheduler(url: str, name: str, barrier: Any, results: Any) -> None:
    """A process that claims, whenever it leads, until nothing is queued. Reports its claims, how often the
    database was too busy for it, and how often it led."""
    claimed = busy = 0
    epochs: set[int] = set()
    with closing(Database(url)) as database:
        barrier.wait(_START_SECONDS)
        while True:
            try:
                with database.write() as session:
                    epoch = Leases(session).acquire(LEASE, name, seconds=_LEASE_SECONDS)
                if epoch is None:
                    if not _num_queued(database):
                        break
                    time.sleep(_LEASE_SECONDS / 4)
                    continue
                epochs.add(epoch)
                store = SchedulerStore(database, epoch)
                queued = store.pending_work().queued
                if not queued:
                    break
                for job in queued:
                    claimed += store.claim(job.job_id, "training", 1, {}) is not None
            except LeaseLost:
                # Another one may already wait for it.
                time.sleep(_LEASE_SECONDS / 4)
            except Unavailable:
                # As a scheduler's tick does: the next one tries again.
                busy += 1
    results.put((claimed, busy, len(epochs)))


def _num_queued(database: Database) -> int:
    with database.read() as session:
        queued = select(func.count()).select_from(tables.Job).where(tables.Job.status == "queued")
        return session.scalar(queued) or 0
