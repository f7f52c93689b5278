"""Restores a backup into an installation that has no rows yet.

The objects come first, which is harmless to repeat, and then the whole database in one transaction: a restore
that is interrupted leaves no rows, and can be started again.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, insert
from sqlalchemy.orm import Session

from cluster.contracts.errors import (
    Conflict,
    CorruptArtefact,
    InvalidConfiguration,
    InvalidRequest,
    NotFound,
)
from cluster.storage.keys import FOLDERS
from cluster.storage.store import ObjectStore
from service.backup.folder import OBJECT_LIST, BackupReader, StoredFile, object_name, table_name
from service.backup.making import Progress
from service.backup.objects import ObjectEntry, pages
from service.backup.rows import continue_sequences, count_rows, revision_of, rows_from, schema_of
from service.backup.unfinished import Continuation, continued, find_continuation, put_back_unfinished
from service.db.database import Database
from service.db.maintenance import set_maintenance
from service.db.migrating import MIGRATIONS, migration_config

_COPIES_AT_ONCE = 8
_COPIES_A_ROUND = 256
_JOBS = table_name("jobs")
_PROJECTS = table_name("projects")

KeyReplacements = Mapping[str, str | None]
"""Maps a key of the backup's storage to the key that replaces it, or to None for no key. Other keys stay."""


@dataclass(frozen=True, slots=True)
class Restored:
    rows: int
    objects: int
    """Objects that this restore has stored."""
    bytes: int
    kept_objects: int
    """Objects that were already in the store."""
    missing_objects: int
    unfinished_jobs: int


def check_backup(backup: BackupReader, progress: Progress) -> None:
    """Reads the whole backup. Raises CorruptArtefact if any content has changed, and InvalidRequest if it
    needs a later version of Tunery."""
    for name, stored in backup.manifest.files.items():
        backup.check(name, stored)
    _check_revision(backup)
    if not backup.manifest.objects.are_copied:
        return
    done, total = 0, backup.manifest.objects.bytes
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        for page in pages(_objects(backup), _COPIES_A_ROUND):
            for size in pool.map(lambda entry: _check_object(backup, entry), page):
                done += size
                progress("bytes of objects checked", done, total)


def check_empty(database: Database, store: ObjectStore, *, keeps_objects: bool) -> None:
    """Raises Conflict, which says what exists, if there is an installation already."""
    with database.read() as session:
        _check_no_rows(session.connection())
    if keeps_objects:
        return
    first = next((info for folder in FOLDERS for info in store.list(folder)), None)
    if first is not None:
        raise Conflict(
            f"The storage is not empty: it has {first.key}, for example. Restore into an empty one. If it is "
            "this installation's own storage, or a restore was interrupted, give --keep-objects."
        )


def check_encryption(backup: BackupReader, store: ObjectStore, replacements: KeyReplacements) -> None:
    """Raises InvalidConfiguration if projects of a checked backup have encryption keys and the store cannot
    encrypt with keys."""
    with backup.open(_PROJECTS) as lines:
        for line in lines:
            key = _replaced(json.loads(line).get("encryption_key"), replacements)
            try:
                store.encrypted_with(key)
            except InvalidConfiguration as error:
                raise InvalidConfiguration(
                    f"{error.message} A project of the backup has the key {key}. To restore it "
                    f"without a key, give --encryption-key {key}=",
                    code=error.code,
                ) from error


def restore(
    backup: BackupReader,
    database: Database,
    store: ObjectStore,
    progress: Progress,
    *,
    begins_maintenance: bool = False,
    replacements: KeyReplacements = MappingProxyType({}),
) -> Restored:
    """Restores a checked backup, each project's objects with its key. With `begins_maintenance`, no job
    continues until the maintenance ends.

    Raises Conflict if rows have appeared, and Unavailable if the database or the store fails: no row was then
    written."""
    stored = kept = size = 0
    if backup.manifest.objects.are_copied:
        stored, kept, size = _restore_objects(backup, store, progress, replacements)
    continuations = _continuations(backup, store)
    rows = 0
    with database.migrating() as connection:
        _check_no_rows(connection)
        _create_schema(connection, backup.manifest.revision)
        rows = _insert(connection, backup, continuations, replacements, progress)
        command.upgrade(migration_config(connection), "head")
        with Session(connection) as session, session.begin():
            put_back_unfinished(session, continuations)
            if begins_maintenance:
                set_maintenance(session, pauses_jobs=False)
    database.migrate()
    return Restored(
        rows=rows,
        objects=stored,
        bytes=size,
        kept_objects=kept,
        missing_objects=backup.manifest.objects.missing,
        unfinished_jobs=len(continuations),
    )


def _check_revision(backup: BackupReader) -> None:
    try:
        ScriptDirectory(str(MIGRATIONS)).get_revision(backup.manifest.revision)
    except CommandError as error:
        raise InvalidRequest(
            f"The backup is of revision {backup.manifest.revision}, made by Tunery {backup.manifest.tunery}, "
            "which this version does not know. Restore it with that version or a later one."
        ) from error


def _check_object(backup: BackupReader, entry: ObjectEntry) -> int:
    if entry.bytes is None or entry.sha256 is None:
        return 0
    backup.check(object_name(entry.key), StoredFile(bytes=entry.bytes, sha256=entry.sha256))
    return entry.bytes


def _check_no_rows(connection: Connection) -> None:
    if counts := count_rows(connection):
        raise Conflict(
            f"The database is not empty: it has {sum(counts.values()):,} rows, because it was used before. "
            "Restore into a new data folder, or an empty database."
        )


def _replaced(key: str | None, replacements: KeyReplacements) -> str | None:
    return None if key is None else replacements.get(key, key)


def _restore_objects(
    backup: BackupReader, store: ObjectStore, progress: Progress, replacements: KeyReplacements
) -> tuple[int, int, int]:
    """Returns the number of stored objects, the number of objects that existed, and the stored bytes."""

    def put(entry: ObjectEntry) -> bool:
        key = _replaced(entry.encryption_key, replacements)
        return _put_if_absent(backup, store.encrypted_with(key), entry)

    stored = kept = size = done = 0
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        for page in pages(_objects(backup), _COPIES_A_ROUND):
            copied = [entry for entry in page if entry.bytes is not None]
            outcomes = pool.map(put, copied)
            for entry, is_new in zip(copied, outcomes, strict=True):
                stored, kept = stored + is_new, kept + (not is_new)
                size += (entry.bytes or 0) if is_new else 0
                done += entry.bytes or 0
                progress("bytes of objects restored", done, backup.manifest.objects.bytes)
    return stored, kept, size


def _put_if_absent(backup: BackupReader, store: ObjectStore, entry: ObjectEntry) -> bool:
    with suppress(NotFound):
        if store.stat(entry.key).bytes == entry.bytes:
            return False
    with backup.open(object_name(entry.key)) as source:
        assert entry.bytes is not None, "only what was copied is put back"
        put = store.put_sized(entry.key, source, entry.bytes)
    if put.sha256 != entry.sha256:
        store.delete(entry.key)
        raise CorruptArtefact(f"{object_name(entry.key)} of the backup has changed since it was checked.")
    return True


def _objects(backup: BackupReader) -> Iterator[ObjectEntry]:
    with backup.open(OBJECT_LIST) as lines:
        for line in lines:
            yield ObjectEntry.model_validate_json(line)


def _continuations(backup: BackupReader, store: ObjectStore) -> dict[str, Continuation]:
    """Continuations of unfinished jobs, by job id."""
    found = {}
    with backup.open(_JOBS) as lines:
        for line in lines:
            row = json.loads(line)
            if (continuation := find_continuation(row, store)) is not None:
                found[row["id"]] = continuation
    return found


def _create_schema(connection: Connection, revision: str) -> None:
    """Creates exactly the schema from which the rows were read. An empty schema of another revision is
    replaced."""
    config = migration_config(connection)
    if revision_of(connection) is not None:
        command.downgrade(config, "base")
    command.upgrade(config, revision)


def _insert(
    connection: Connection,
    backup: BackupReader,
    continuations: dict[str, Continuation],
    replacements: KeyReplacements,
    progress: Progress,
) -> int:
    done, total, tables = 0, sum(backup.manifest.rows.values()), schema_of(connection)
    if {table.name for table in tables} != backup.manifest.rows.keys():
        raise CorruptArtefact("The backup does not have the tables of its revision.")
    for table in tables:
        count = 0
        with backup.open(table_name(table.name)) as lines:
            for page in rows_from(table, lines):
                if table.name == "jobs":
                    page = [continued(row, continuations.get(row["id"])) for row in page]
                elif table.name == "projects":
                    page = [_with_key(row, replacements) for row in page]
                connection.execute(insert(table), page)
                count += len(page)
                progress("rows restored", done + count, total)
        if count != backup.manifest.rows[table.name]:
            raise CorruptArtefact(f"The backup does not have all rows of {table.name}.")
        done += count
        continue_sequences(connection, table)
    return done


def _with_key(row: dict[str, Any], replacements: KeyReplacements) -> dict[str, Any]:
    """A project's row with its replaced key. Rows of earlier releases have no key."""
    key = row.get("encryption_key")
    return row if key is None else {**row, "encryption_key": _replaced(key, replacements)}
