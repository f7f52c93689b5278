"""How long a tick of the scheduler takes with a long queue, and how many jobs schedulers claim in a second.

`python -m tests.benchmarks.queue` prints a table with a row for SQLite and one for PostgreSQL. A job that is
claimed twice ends it with an error."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from cluster.contracts.jobs import PRIORITIES
from service.db import tables
from service.db.database import Database
from service.db.scheduler.leases import Leases
from service.db.scheduler.pending_work import WINDOW_PER_GROUP
from service.db.scheduler.queue_window import PlannedGang, gang_shape
from service.db.scheduler.store import LEASE, SchedulerStore
from service.scheduling.cluster.cluster_pools import ClusterPools
from service.scheduling.cluster.pool_states import Limits
from service.scheduling.policy.decide import decide
from service.scheduling.policy.snapshot import Rules
from service.scheduling.snapshots import snapshot_of
from tests.benchmarks.queue.claims import claim_all
from tests.databases import migrate, migrated_database, postgres_server

_PROJECTS = 50
_SLOTS = 64
_COLUMNS = {
    "database": "Database",
    "claims_per_second": "Claims per second",
    "claimed_twice": "Claimed twice",
    "tenures": "Leaders, one after the other",
    "busy": "Waits that timed out",
    "read_ms": "Tick: reads, ms",
    "decide_ms": "decides, ms",
    "explain_ms": "and explains, ms",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queued", type=int, default=100_000, help="jobs in the queue during ticks")
    parser.add_argument("--claimed", type=int, default=10_000, help="jobs that are claimed")
    parser.add_argument("--schedulers", type=int, default=4)
    parser.add_argument("--ticks", type=int, default=20)
    options = parser.parse_args()
    print(f"{options.claimed:,} jobs claimed by {options.schedulers} schedulers; {options.queued:,} queued\n")
    _print_row(_COLUMNS.values())
    _print_row("---" for _ in _COLUMNS)
    for name, url in _databases():
        with closing(Database(url)) as database:
            _fill(database, options.claimed)
            claims = claim_all(url, options.claimed, options.schedulers)
            _fill(database, options.queued - options.claimed, first=options.claimed)
            ticks = _ticks(database, options)
        figures = {"database": name, **claims, **ticks}
        _print_row(str(figures[column]) for column in _COLUMNS)


def _print_row(cells: Iterable[str]) -> None:
    print("|", " | ".join(cells), "|", flush=True)


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'queue.db'}"
        migrate(url)
        yield url


def _databases() -> Iterator[tuple[str, str]]:
    with _sqlite() as url:
        yield "sqlite", url
    with postgres_server() as server, migrated_database(server) as url:
        yield "postgresql", url


def _fill(database: Database, count: int, first: int = 0) -> None:
    with database.write() as session:
        if not first:
            session.add(tables.Organization(id="org", name="org", created_at=0))
            session.flush()
            for number in range(_PROJECTS):
                project = tables.Project(id=f"proj-{number}", organization_id="org", name="", created_at=0)
                session.add(project)
            session.flush()
            file = {"filename": "", "purpose": "", "bytes": 1, "sha256": "", "object_key": ""}
            owner = {"organization_id": "org", "project_id": "proj-0"}
            session.add(tables.File(id="file", status="processed", created_at=0, **owner, **file))
            session.flush()
        for start in range(first, first + count, 10_000):
            rows = [_job(number) for number in range(start, min(start + 10_000, first + count))]
            session.execute(insert(tables.Job), rows)


def _job(number: int) -> dict[str, Any]:
    """Half of all jobs are of one project."""
    gang = PlannedGang(None, 1 + number % 8, 600.0)
    return {
        "id": f"ftjob-{number:08d}",
        "organization_id": "org",
        "project_id": f"proj-{number % _PROJECTS if number % 2 else 0}",
        "status": "queued",
        "version": 0,
        "model": "tiny",
        "training_file": "file",
        "seed": 1,
        "hyperparameters": {},
        "training": {},
        "output_model": "",
        "priority": PRIORITIES[number % 3],
        "queued_at": float(number),
        "created_at": number,
        "gangs": [asdict(gang)],
        "gang_shape": gang_shape([gang]),
    }


def _ticks(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    """What a tick reads and decides while all devices are held."""
    with database.write() as session:
        session.execute(update(tables.Attempt).values(released_at=0.0))
        # Only those: a hundred thousand dead rows would be measured, too.
        claimed = update(tables.Job).where(tables.Job.status != "queued")
        session.execute(claimed.values(status="queued", attempt=0))
        session.execute(update(tables.Lease).values(expires_at=0.0))
        epoch = Leases(session).acquire(LEASE, "ticks", seconds=3600)
    assert epoch is not None
    store, rules = SchedulerStore(database, epoch), Rules(window=WINDOW_PER_GROUP)
    pools = ClusterPools(None, (), Limits(_SLOTS, "cpu"))
    seconds: dict[str, list[float]] = {"read": [], "decide": [], "explain": []}
    for _ in range(options.ticks):
        times = [time.perf_counter()]
        pending = store.pending_work()
        standings = store.standings({job.project_id for job in pending.queued}, pending.at)
        times.append(time.perf_counter())
        snapshot = snapshot_of(pending, pending.holdings, pools.states(pending.holdings), standings, rules)
        decide(snapshot, rules)
        times.append(time.perf_counter())
        decide(snapshot, rules, explains=True)
        times.append(time.perf_counter())
        for name, before, after in zip(seconds, times, times[1:], strict=False):
            seconds[name].append(after - before)
    return {f"{name}_ms": round(1000 * statistics.median(each), 1) for name, each in seconds.items()}


if __name__ == "__main__":
    main()
