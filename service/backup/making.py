"""Makes a backup of an installation, which may be running: first the rows, in one transaction, then the
objects that these rows need.

That order is safe. Objects never change, and a row names an object only once it is stored; a sweep removes
nothing that the rows at that moment need, except what their owner has deleted since. Objects that are
superseded in the meantime are recorded as missing.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest, NotFound
from cluster.storage.files import CHUNK_BYTES
from cluster.storage.store import ObjectStore
from service.backup.folder import (
    OBJECT_LIST,
    BackupManifest,
    BackupWriter,
    ObjectTotals,
    StoredFile,
    object_name,
    table_name,
)
from service.backup.objects import ObjectEntry, needed_objects, pages
from service.backup.rows import revision_of, rows_of, schema_of
from service.db.database import Database, now

Progress = Callable[[str, int, int | None], None]
"""Called with the current activity, the amount that is done, and the total, if that is known."""
_COPIES_AT_ONCE = 8
_COPIES_A_ROUND = 256
_ROWS_A_REPORT = 1000


@dataclass(frozen=True, slots=True)
class _Rows:
    revision: str
    created_at: int
    counts: Mapping[str, int]
    files: Mapping[str, StoredFile]


def make_backup(
    database: Database,
    store: ObjectStore,
    folder: Path,
    *,
    secret: bytes | None,
    copies_objects: bool,
    progress: Progress,
) -> BackupManifest:
    """Writes a backup into a new folder. Raises Conflict if the folder is not empty, InvalidRequest if the
    database has no schema, and Unavailable if the database, the store or the disk fails: what was written by
    then is not a backup."""
    writer = BackupWriter(folder, secret)
    with tempfile.TemporaryFile() as needed:
        with database.snapshot() as session:
            rows = _write_rows(session, writer, progress)
            _note(needed_objects(session, store), needed, progress)
        total = sum(entry.bytes or 0 for entry in _entries(needed))
        objects, listed = _write_objects(
            _entries(needed), total, store, writer, copies_objects=copies_objects, progress=progress
        )
    manifest = BackupManifest(
        tunery=version("tunery"),
        revision=rows.revision,
        created_at=rows.created_at,
        rows=rows.counts,
        objects=objects,
        encryption=writer.encryption,
        files={**rows.files, OBJECT_LIST: listed},
    )
    writer.finish(manifest)
    return manifest


def _write_rows(session: Session, writer: BackupWriter, progress: Progress) -> _Rows:
    connection = session.connection()
    revision = revision_of(connection)
    if revision is None:
        raise InvalidRequest("There is no installation in this database.")
    created_at = int(now(session))
    counts, files = {}, {}
    for table in schema_of(connection):
        count, name = 0, table_name(table.name)
        with writer.file(name) as file:
            for line in rows_of(connection, table):
                file.write(line)
                count += 1
                if count % _ROWS_A_REPORT == 0:
                    progress(f"rows of {table.name}", count, None)
        counts[table.name], files[name] = count, file.stored()
    return _Rows(revision, created_at, counts, files)


def _note(entries: Iterator[ObjectEntry], needed: IO[bytes], progress: Progress) -> None:
    """Writes the entries into a file, because there may be millions of them."""
    for count, entry in enumerate(entries, start=1):
        needed.write(_line(entry))
        if count % _ROWS_A_REPORT == 0:
            progress("objects that are needed", count, None)


def _entries(needed: IO[bytes]) -> Iterator[ObjectEntry]:
    needed.seek(0)
    for line in needed:
        yield ObjectEntry.model_validate_json(line)


def _write_objects(
    entries: Iterator[ObjectEntry],
    total: int,
    store: ObjectStore,
    writer: BackupWriter,
    *,
    copies_objects: bool,
    progress: Progress,
) -> tuple[ObjectTotals, StoredFile]:
    objects = done = missing = 0
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool, writer.file(OBJECT_LIST) as listed:
        for page in pages(entries, _COPIES_A_ROUND):
            copied = pool.map(lambda entry: _copy(entry, store, writer), page) if copies_objects else page
            for entry in copied:
                listed.write(_line(entry))
                if entry.bytes is None:
                    missing += 1
                    continue
                objects, done = objects + 1, done + entry.bytes
                progress("bytes of objects", done, total)
    totals = ObjectTotals(are_copied=copies_objects, objects=objects, bytes=done, missing=missing)
    return totals, listed.stored()


def _copy(entry: ObjectEntry, store: ObjectStore, writer: BackupWriter) -> ObjectEntry:
    if entry.bytes is None:
        return entry
    name = object_name(entry.key)
    try:
        with store.open(entry.key) as source, writer.file(name) as file:
            while chunk := source.read(CHUNK_BYTES):
                file.write(chunk)
    except NotFound:
        return ObjectEntry(key=entry.key)
    return entry.model_copy(update=file.stored().model_dump())


def _line(entry: ObjectEntry) -> bytes:
    return entry.model_dump_json().encode() + b"\n"
