"""Compares the database with the storage: objects that rows name must exist and have the right size."""

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.storage.keys import FOLDERS
from cluster.storage.store import ObjectInfo, ObjectStore
from service.backup.manifests import broken_files, read_listed
from service.db.database import Database
from service.db.named_objects import NamedObject, is_named, joined, named_objects
from service.reconcile.findings import Finding
from service.scheduling.sweeping.sweep import SweepOptions, sweep


@dataclass(frozen=True, slots=True)
class _Broken:
    """Something that looks wrong until it is checked again: an owner may have deleted it in the meantime."""

    folder: str
    named: NamedObject
    key: str
    problem: str


def check_objects(database: Database, store: ObjectStore) -> Iterator[Finding]:
    """Reads every manifest that a row names, and no other object."""
    count = num_failed = 0
    with database.snapshot() as session:
        for folder in FOLDERS:
            for info, named in joined(store.list(folder), named_objects(session, folder)):
                if named is None:
                    continue
                count += 1
                for broken in _broken(store, folder, info, named):
                    if _is_still_so(database, store, broken):
                        num_failed += 1
                        yield _finding(broken)
    if not num_failed:
        yield Finding("objects", "ok", "", f"All {count:,} objects that rows name are there, and whole.")


def check_unneeded(database: Database, store: ObjectStore, options: SweepOptions) -> Finding:
    """Counts what the next sweep would remove. `options` are those of a dry run."""
    report = sweep(database, store, options)
    removed = report.total()
    if not removed.objects:
        return Finding("storage", "ok", "", "The next sweep has nothing to remove.")
    kinds = ", ".join(f"{count.objects:,} {kind}" for kind, count in sorted(report.removed.items()))
    found = f"The next sweep removes {removed.objects:,} objects of {removed.bytes:,} bytes: {kinds}."
    return Finding("storage", "ok", "", found)


def _broken(
    store: ObjectStore, folder: str, info: ObjectInfo | None, named: NamedObject
) -> Iterator[_Broken]:
    if info is None:
        yield _Broken(folder, named, named.key, "is missing")
    elif named.bytes is not None:
        if info.bytes != named.bytes:
            yield _Broken(folder, named, named.key, f"has {info.bytes:,} bytes, and not {named.bytes:,}")
    else:
        try:
            files = broken_files(store, named.key, read_listed(store, named.key))
        except (NotFound, CorruptArtefact):
            yield _Broken(folder, named, named.key, "is no manifest that can be read")
        else:
            for key, problem in files.items():
                yield _Broken(folder, named, key, problem)


def _is_still_so(database: Database, store: ObjectStore, broken: _Broken) -> bool:
    with database.read() as session:
        if not is_named(session, broken.folder, broken.named.key):
            return False
    if broken.problem != "is missing":
        return True
    try:
        store.stat(broken.key)
    except NotFound:
        return True
    return False


def _finding(broken: _Broken) -> Finding:
    named = broken.named
    found = f"{broken.problem}; the {named.what} {named.owner} needs it."
    return Finding("objects", "failed", broken.key, f"It {found}")
