"""Finds the objects that a backup needs."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, TypeVar

from pydantic import AfterValidator
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.frozen import FrozenModel
from cluster.storage.keys import FOLDERS, DatasetKey, checked_key, folder_of, parse_key
from cluster.storage.store import ObjectInfo, ObjectStore
from service.backup.rows import schema_of
from service.db import tables
from service.db.named_objects import joined, named_objects
from service.db.reachable_objects import find_reachable
from service.db.retention.stored import owners_of
from service.db.transitions import UNFINISHED

T = TypeVar("T")
_PAGE = 1000


class ObjectEntry(FrozenModel):
    """A line of `objects.jsonl`."""

    key: Annotated[str, AfterValidator(checked_key)]
    bytes: int | None = None
    """None if the object was missing."""
    sha256: str | None = None
    """None if it was not copied."""
    encryption_key: str | None = None
    """Encryption key of the object's project."""


def needed_objects(session: Session, store: ObjectStore) -> Iterator[ObjectEntry]:
    """Yields the objects that rows reach, and objects that rows name but that do not exist.

    The newest states of unfinished jobs come first, because newer ones supersede them in the meantime.
    Compiled training files are left out, because they can be compiled again."""
    keys = _encryption_keys(session)
    for page in pages(_found(session, store)):
        places = {entry.key: parse_key(entry.key) for entry in page}
        owner = owners_of(session, [place for place in places.values() if place is not None])
        for entry in page:
            place = places[entry.key]
            key = None if place is None else keys.get(owner(place))
            yield entry if key is None else entry.model_copy(update={"encryption_key": key})


def pages(items: Iterable[T], size: int = _PAGE) -> Iterator[list[T]]:
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page


def _found(session: Session, store: ObjectStore) -> Iterator[ObjectEntry]:
    urgent = _newest_states(session)
    for folder in urgent:
        for info in store.list(folder):
            yield ObjectEntry(key=info.key, bytes=info.bytes)
    for folder in FOLDERS:
        for found, named in joined(_reachable(session, store, folder), named_objects(session, folder)):
            if found is not None and folder_of(found.key) not in urgent:
                yield ObjectEntry(key=found.key, bytes=found.bytes)
            elif found is None and named is not None:
                yield ObjectEntry(key=named.key)


def _encryption_keys(session: Session) -> dict[str, str]:
    """Encryption keys by project id, for projects that have one. A database that has yet to be upgraded may
    be older than these keys."""
    project = next(table.c for table in schema_of(session.connection()) if table.name == "projects")
    if "encryption_key" not in project:
        return {}
    having = select(project.id, project.encryption_key).where(project.encryption_key.is_not(None))
    return dict(row.tuple() for row in session.execute(having))


def _newest_states(session: Session) -> list[str]:
    """Folders of the states from which unfinished jobs continue."""
    key, status = tables.Job.resume_manifest_key, tables.Job.status
    keys = session.scalars(select(key).where(key.is_not(None), status.in_(UNFINISHED)).order_by(key))
    return [folder_of(key) for key in keys if key is not None]


def _reachable(session: Session, store: ObjectStore, folder: str) -> Iterator[ObjectInfo]:
    for page in pages(store.list(folder)):
        places = {info.key: parse_key(info.key) for info in page}
        reachable = find_reachable(session, [place for place in places.values() if place is not None])
        for info in page:
            place = places[info.key]
            if place is not None and not isinstance(place, DatasetKey) and reachable.contains(place):
                yield info
