"""Deletes objects in storage that are not needed any more: mark and sweep, with the database's rows as roots.

`service.db.reachable_objects` decides which objects are needed, and explains why that is safe while other
processes write. Any number of sweeps may run at once, and an interrupted one is simply repeated.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from cluster.contracts.errors import Unavailable
from cluster.contracts.manifest import is_resume_file
from cluster.storage.keys import (
    FOLDERS,
    DatasetKey,
    ExportKey,
    FileKey,
    ImportKey,
    ObjectKey,
    PartKey,
    parse_key,
)
from cluster.storage.store import ObjectInfo, ObjectStore, UnfinishedPut
from service.db.database import Database
from service.db.reachable_objects import ReachableObjects, expire, find_reachable, has_been_used

T = TypeVar("T")

ABANDONED_SECONDS = 24 * 3600.0
"""Age from which an unfinished put was left by a crash, even if its object is needed: the object is stored
again."""
PROBES = "health/"
"""Prefix of the objects with which readiness checks try the store."""
_PROBE_SECONDS = 600.0
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class SweepOptions:
    grace_seconds: float
    """Nothing younger is deleted. Safety does not need it; it gives the operator time to notice that
    something is wrong, above all with the database."""
    resume_state_seconds: float
    """How long the optimizer state of a job's checkpoints is kept after the job has ended."""
    is_dry_run: bool = False
    """Whether to only count what would be deleted, and change nothing."""


@dataclass(slots=True)
class ObjectCount:
    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.objects += 1
        self.bytes += size


@dataclass(slots=True)
class SweepReport:
    removed: dict[str, ObjectCount] = field(default_factory=dict)
    """Deleted objects by kind; for a dry run, those that would have been deleted."""
    kept: ObjectCount = field(default_factory=ObjectCount)

    def total(self) -> ObjectCount:
        counts = self.removed.values()
        return ObjectCount(sum(one.objects for one in counts), sum(one.bytes for one in counts))

    def remove(self, kind: str, size: int) -> None:
        self.removed.setdefault(kind, ObjectCount()).add(size)


def sweep(
    database: Database, store: ObjectStore, options: SweepOptions, *, clock: Callable[[], float] = time.time
) -> SweepReport:
    """Deletes what is not needed, and returns what that was. Raises Unavailable if the database or the store
    does not answer; what was deleted by then stays deleted.

    For a database that was never used, all objects would look like garbage, so that nothing is deleted.
    Objects whose keys are not Tunery's are left alone."""
    report = SweepReport()
    with database.read() as session:
        if not has_been_used(session):
            return report
    for folder in FOLDERS:
        for page in _pages(store.list(folder)):
            _sweep_objects(database, store, options, page, clock() - options.grace_seconds, report)
    _sweep_unfinished(database, store, options, clock(), report)
    _sweep_probes(store, options, clock(), report)
    return report


def _sweep_objects(
    database: Database,
    store: ObjectStore,
    options: SweepOptions,
    page: list[ObjectInfo],
    latest: float,
    report: SweepReport,
) -> None:
    places = {info.key: parse_key(info.key) for info in page}
    reachable = _reachable(database, options, places.values())
    removed = []
    for info in page:
        place = places[info.key]
        if place is None or info.modified_at > latest or reachable.contains(place):
            report.kept.add(info.bytes)
        else:
            report.remove(_kind(place, info.key), info.bytes)
            removed.append(info.key)
    if not options.is_dry_run:
        store.delete_many(removed)


def _sweep_unfinished(
    database: Database, store: ObjectStore, options: SweepOptions, at: float, report: SweepReport
) -> None:
    """An unfinished put of a needed object is in progress, until it has taken too long."""
    abandoned = at - max(options.grace_seconds, ABANDONED_SECONDS)
    for page in _pages(put for folder in FOLDERS for put in store.unfinished(folder)):
        places = {put.id: parse_key(put.key) for put in page}
        reachable = _reachable(database, options, places.values())
        for put in page:
            place = places[put.id]
            if place is None or put.changed_at > at - options.grace_seconds:
                continue
            if put.changed_at <= abandoned or not reachable.contains(place):
                _abort(store, options, put, report)


def _sweep_probes(store: ObjectStore, options: SweepOptions, at: float, report: SweepReport) -> None:
    latest = at - max(options.grace_seconds, _PROBE_SECONDS)
    for page in _pages(info for info in store.list(PROBES) if info.modified_at <= latest):
        for info in page:
            report.remove("probes", info.bytes)
        if not options.is_dry_run:
            store.delete_many([info.key for info in page])
    for put in store.unfinished(PROBES):
        if put.changed_at <= latest:
            _abort(store, options, put, report)


def _abort(store: ObjectStore, options: SweepOptions, put: UnfinishedPut, report: SweepReport) -> None:
    report.remove("unfinished objects", put.bytes)
    if not options.is_dry_run:
        store.abort(put)


def _reachable(
    database: Database, options: SweepOptions, found: Iterable[ObjectKey | None]
) -> ReachableObjects:
    places = [place for place in found if place is not None]
    if options.is_dry_run:
        with database.write() as session, session.begin_nested() as savepoint:
            expire(session, places, resume_state_seconds=options.resume_state_seconds)
            reachable = find_reachable(session, places)
            savepoint.rollback()
            return reachable
    # A full disk may refuse this write. What can be deleted without it makes room for the next sweep.
    with suppress(Unavailable), database.write(frees_space=True) as session:
        expire(session, places, resume_state_seconds=options.resume_state_seconds)
    with database.read() as session:
        return find_reachable(session, places)


def _kind(place: ObjectKey, key: str) -> str:
    match place:
        case FileKey():
            return "files"
        case PartKey():
            return "parts of uploads"
        case DatasetKey():
            return "compiled files"
        case ImportKey():
            return "imported adapters"
        case ExportKey():
            return "exports"
        case _ if place.step is None:
            return "job specifications"
        case _:
            return "resume state" if is_resume_file(place.name) else "checkpoints"


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while page := list(islice(iterator, _PAGE)):
        yield page
