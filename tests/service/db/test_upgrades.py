"""Upgrades of databases that have rows in every table, from every revision."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, Connection, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError

from service.db import tables
from service.db.database import Database
from service.db.migrating import migration_config
from tests.databases import postgres_database

MIGRATIONS = ScriptDirectory(str(Path(tables.__file__).with_name("migrations")))
REVISIONS = [script.revision for script in reversed(list(MIGRATIONS.walk_revisions()))]
RENAMED = {"uploads": "incoming_files"}
"""Up to 0007. A table of another kind has had the old name since 0014."""
TEXTS = {"day": "2026-03-0{row}"}
"""Of columns whose texts migrations read."""
DOCUMENT = {"type": "lora", "form": "lora", "state": "finished", "trained_at": 2.0}
"""What migrations read in JSON."""
NUM_ROWS = 2
"""Of each table: the first has a value in each column, the second only where it must."""


SOME = [*REVISIONS[:-2:12], *REVISIONS[-2:]]
CASES = [
    *(
        pytest.param("sqlite", revision, marks=[] if revision in SOME else pytest.mark.thorough)
        for revision in REVISIONS
    ),
    *(pytest.param("postgresql", revision, marks=pytest.mark.slow) for revision in SOME),
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without a schema."""
    if request.param == "sqlite":
        with closing(Database(f"sqlite:///{tmp_path / 'old.db'}")) as database:
            yield database
    else:
        with (
            postgres_database(request.getfixturevalue("postgres_url")) as url,
            closing(Database(url)) as database,
        ):
            yield database


@pytest.mark.parametrize(("empty", "revision"), CASES, indirect=["empty"])
def test_an_upgrade_keeps_all_rows(empty: Database, revision: str) -> None:
    before = filled(empty, revision)
    empty.migrate()
    after = all_rows(empty)
    for table, rows in before.items():
        renamed = RENAMED.get(table, table) if revision <= "0007" else table
        assert common(rows, after[renamed]) == common(after[renamed], rows), table
        assert len(rows) == len(after[renamed]) == NUM_ROWS


def test_a_full_database_can_be_downgraded_to_nothing(empty: Database) -> None:
    filled(empty, REVISIONS[-1])
    for revision in [*reversed(REVISIONS[:-1]), "base"]:
        with empty.migrating() as connection:
            command.downgrade(migration_config(connection), revision)
    assert set(all_rows(empty)) == set()


def test_sqlite_enforces_foreign_keys_again_after_a_migration(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as database:
        database.migrate()
        with pytest.raises(IntegrityError), database.write() as session:
            session.add(tables.Project(id="p", organization_id="absent", name="p", created_at=0))


def test_a_migration_that_leaves_broken_references_is_undone(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'old.db'}")) as database:
        before = filled(database, REVISIONS[-1])
        with pytest.raises(RuntimeError, match="jobs to files"), database.migrating() as connection:
            connection.execute(text("DELETE FROM files"))
        assert all_rows(database) == before


def filled(database: Database, revision: str) -> dict[str, list[dict[str, Any]]]:
    """Upgrades to the revision and fills its tables."""
    with database.migrating() as connection:
        command.upgrade(migration_config(connection), revision)
    with database.write() as session:
        for table in reflected(session.connection()):
            for row in range(1, NUM_ROWS + 1):
                values = {column.name: value(column, row) for column in table.columns}
                session.execute(insert(table).values({k: v for k, v in values.items() if v is not None}))
    return all_rows(database)


def value(column: Column[Any], row: int) -> Any:
    """A value that is unique in the column. Rows refer to rows of the same number."""
    if column.name == "deleted_at" or (column.nullable and row > 1):
        return None
    for key in column.foreign_keys:
        return value(key.column, row)
    if isinstance(column.type, JSON):
        return DOCUMENT
    kind = column.type.python_type
    if kind is str:
        return TEXTS.get(column.name, column.table.name + "-{row}").format(row=row)
    return kind(row)


def all_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    with database.read() as session:
        connection = session.connection()
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in reflected(connection)
        }


def reflected(connection: Connection) -> list[Table]:
    """Every table, after those that it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def common(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> Counter[str]:
    """The rows, in the columns that both have."""
    names = rows[0].keys() & others[0].keys()
    return Counter(json.dumps({name: row[name] for name in names}, sort_keys=True) for row in rows)
