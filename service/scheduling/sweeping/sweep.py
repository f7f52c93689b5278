"""Deletes data that projects no longer keep, and then the objects in storage that are no longer needed: mark
and sweep, with the database's rows as roots.

`service.db.reachable_objects` decides which objects are needed, and explains why that is safe while other
processes write. Any number of sweeps may run at once, and an interrupted one is simply repeated.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from service.db.database import Database, now
from service.db.files.files import forget_names
from service.db.reachable_objects import ReachableObjects, expire, find_reachable, has_been_used
from service.db.retention.rules import RetentionKind, RetentionRules
from service.db.retention.stored import owners_of, record_stored
from service.scheduling.sweeping.retaining import apply_retention
from service.settings import Settings

T = TypeVar("T")

ABANDONED_SECONDS = 24 * 3600.0
"""Age from which an unfinished put counts as left behind by a crash, even if its object is needed: the object
is stored again."""
PROBES = "health/"
"""Prefix of the objects that readiness checks write to test the store."""
_PROBE_SECONDS = 600.0
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class SweepOptions:
    grace_seconds: float
    """Nothing younger is deleted. This is not needed for safety; it gives the operator time to notice that
    something is wrong, above all with the database."""
    resume_state_seconds: float
    """How long the optimizer state of a job's checkpoints is kept after the job has ended, unless its project
    has a term of its own."""
    is_dry_run: bool = False
    """Whether to only count what would be deleted, without changing anything."""
    retention: RetentionRules = field(default_factory=RetentionRules)
    """How long projects keep their data. Not applied in a dry run."""


def sweep_options(
    settings: Settings, *, grace_seconds: float | None = None, is_dry_run: bool = False
) -> SweepOptions:
    grace = settings.sweep_grace_seconds if grace_seconds is None else grace_seconds
    seconds = settings.retention.terms(None, None)["resume_states"].seconds
    assert seconds is not None, "the server always has a term"
    return SweepOptions(grace, seconds, is_dry_run, settings.retention)


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
    stored: defaultdict[tuple[str, str], ObjectCount] = field(
        default_factory=lambda: defaultdict(ObjectCount)
    )
    """Kept objects by project and kind; `NOBODY` has the objects that no row knows."""
    deleted: Mapping[RetentionKind, int] = field(default_factory=dict)
    """Number of items that projects' retention has deleted, before their objects were removed."""

    def total(self) -> ObjectCount:
        counts = self.removed.values()
        return ObjectCount(sum(one.objects for one in counts), sum(one.bytes for one in counts))

    def remove(self, kind: str, size: int) -> None:
        self.removed.setdefault(kind, ObjectCount()).add(size)


def sweep(
    database: Database, store: ObjectStore, options: SweepOptions, *, clock: Callable[[], float] = time.time
) -> SweepReport:
    """Deletes the data that projects no longer keep and the objects that nobody needs, counts each project's
    stored objects, and returns the counts. Raises Unavailable if the database or the store does not answer;
    objects that were deleted by then stay deleted.

    For a database that was never used, all objects would look like garbage, so nothing is deleted. Objects
    whose keys are not Tunery's are left alone."""
    report = SweepReport()
    with database.read() as session:
        if not has_been_used(session):
            return report
    if not options.is_dry_run:
        report.deleted = apply_retention(database, options.retention)
    for folder in FOLDERS:
        for page in _pages(store.list(folder)):
            _sweep_objects(database, store, options, page, clock(), report)
    _sweep_unfinished(database, store, options, clock(), report)
    _sweep_probes(store, options, clock(), report)
    if not options.is_dry_run:
        counts = {place: (count.objects, count.bytes) for place, count in report.stored.items()}
        # A full disk may refuse this write too.
        with suppress(Unavailable), database.write(frees_space=True) as session:
            forget_names(session, deleted_before=now(session) - options.grace_seconds)
            record_stored(session, counts)
    return report


def _sweep_objects(
    database: Database,
    store: ObjectStore,
    options: SweepOptions,
    page: list[ObjectInfo],
    at: float,
    report: SweepReport,
) -> None:
    places = {info.key: parse_key(info.key) for info in page}
    reachable, owner = _reachable(database, options, places.values())
    removed = []
    for info in page:
        place, age = places[info.key], at - info.modified_at
        if place is None or age < options.grace_seconds or reachable.contains(place, age_seconds=age):
            report.kept.add(info.bytes)
            if place is not None:
                report.stored[owner(place), _kind(place, info.key)].add(info.bytes)
        else:
            report.remove(_kind(place, info.key), info.bytes)
            removed.append(info.key)
    if not options.is_dry_run:
        store.delete_many(removed)


def _sweep_unfinished(
    database: Database, store: ObjectStore, options: SweepOptions, at: float, report: SweepReport
) -> None:
    """An unfinished put of a needed object counts as in progress until it has taken too long."""
    abandoned = at - max(options.grace_seconds, ABANDONED_SECONDS)
    for page in _pages(put for folder in FOLDERS for put in store.unfinished(folder)):
        places = {put.id: parse_key(put.key) for put in page}
        reachable, _ = _reachable(database, options, places.values())
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
) -> tuple[ReachableObjects, Callable[[ObjectKey], str]]:
    """Finds out which of the places are needed, and returns a function that gives the owner of each."""
    places = [place for place in found if place is not None]
    seconds, rules = options.resume_state_seconds, options.retention
    if options.is_dry_run:
        with database.write() as session, session.begin_nested() as savepoint:
            expire(session, places, resume_state_seconds=seconds, retention=rules)
            found_there = find_reachable(session, places, retention=rules), owners_of(session, places)
            savepoint.rollback()
            return found_there
    # A full disk may refuse this write. Objects that can be deleted without it make room for the next sweep.
    with suppress(Unavailable), database.write(frees_space=True) as session:
        expire(session, places, resume_state_seconds=seconds, retention=rules)
    with database.read() as session:
        return find_reachable(session, places, retention=rules), owners_of(session, places)


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
