"""Indexes that a migration adds to tables which may be large."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class NewIndex:
    """A revision lists its own as `INDEXES`."""

    name: str
    table: str
    columns: Sequence[str]
    where: str | None = None
    """The rows that it holds; None for all."""


def create_indexes(
    connection: Connection, indexes: Iterable[NewIndex], *, concurrently: bool = False
) -> None:
    """Creates those that do not exist. `concurrently`: without locking writers out, which PostgreSQL does
    only outside of a transaction; what an interrupted creation has left behind is replaced."""
    operations = Operations(MigrationContext.configure(connection))
    for index in indexes:
        is_valid = _is_valid(connection, index)
        if is_valid is False and concurrently:
            connection.execute(text(f"DROP INDEX CONCURRENTLY {index.name}"))
        elif is_valid is not None:
            continue
        where = None if index.where is None else text(index.where)
        operations.create_index(
            index.name,
            index.table,
            list(index.columns),
            sqlite_where=where,
            postgresql_where=where,
            postgresql_concurrently=concurrently,
        )


def _is_valid(connection: Connection, index: NewIndex) -> bool | None:
    """None: it does not exist. An index of SQLite is always valid."""
    if connection.dialect.name == "sqlite":
        found = text("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = :name")
    else:
        found = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    valid = connection.scalar(found, {"name": index.name})
    return None if valid is None else bool(valid)
