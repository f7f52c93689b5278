"""Stores rows as lines of JSON, which any database can read back."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from sqlalchemy import JSON, Connection, Integer, MetaData, Table, func, inspect, select, text

from cluster.contracts.errors import CorruptArtefact
from service.db import tables

Row = dict[str, Any]
_ROWS_AT_ONCE = 1000


def revision_of(connection: Connection) -> str | None:
    """Revision of the schema; None if there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def schema_of(connection: Connection) -> list[Table]:
    """Tunery's tables as they are in this database, each after those that it refers to."""
    metadata = MetaData()
    known = tables.Table.metadata.tables
    metadata.reflect(connection, only=lambda name, _: name in known)
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, JSON):
                # A null in the database, as the application writes it, and not JSON's.
                column.type = JSON(none_as_null=True)
    return metadata.sorted_tables


def rows_of(connection: Connection, table: Table) -> Iterator[bytes]:
    """A line for each row."""
    options = {"yield_per": _ROWS_AT_ONCE}
    for row in connection.execute(select(table), execution_options=options).mappings():
        yield json.dumps(dict(row), separators=(",", ":")).encode() + b"\n"


def rows_from(table: Table, lines: BinaryIO) -> Iterator[list[Row]]:
    """Pages of the rows that the lines have."""
    reader = iter(lines)
    while page := [_row(line, table) for line in islice(reader, _ROWS_AT_ONCE)]:
        yield page


def continue_sequences(connection: Connection, table: Table) -> None:
    """Makes PostgreSQL number new rows after the inserted ones, as SQLite does by itself."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key:
        if not isinstance(column.type, Integer):
            continue
        sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
        highest = connection.scalar(select(func.max(column)))
        if sequence is not None and highest is not None:
            connection.execute(select(func.setval(sequence, highest)))


def count_rows(connection: Connection) -> dict[str, int]:
    """Number of rows by table, without empty tables."""
    counts = {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in schema_of(connection)
    }
    return {name: count for name, count in counts.items() if count}


def _row(line: bytes, table: Table) -> Row:
    row = json.loads(line)
    if not isinstance(row, dict) or row.keys() != {column.name for column in table.columns}:
        raise CorruptArtefact(f"A row of {table.name} in the backup does not have the table's columns.")
    return row
