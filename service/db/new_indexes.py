"""Indexes that a migration adds to possibly large tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class NewIndex:
    """A new index. A revision lists its own as `INDEXES`."""

    name: str
    table: str
    columns: Sequence[str]
    where: str | None = None
    """Condition for the rows in the index; None for all rows."""


def create_indexes(
    connection: Connection, indexes: Iterable[NewIndex], *, concurrently: bool = False
) -> None:
    """Creates the indexes that do not exist. `concurrently`: without blocking writers, which PostgreSQL does
    only outside of a transaction; the remains of an interrupted creation are replaced."""
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
    """Whether the index is valid; None if it does not exist. An index of SQLite is always valid."""
    if connection.dialect.name == "sqlite":
        found = text("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = :name")
    else:
        found = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    valid = connection.scalar(found, {"name": index.name})
    return None if valid is None else bool(valid)
