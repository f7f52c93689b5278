"""Inserts that define what happens if the row already exists."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.db import tables


def insert(session: Session, table: type[tables.Table]) -> postgresql.Insert | sqlite.Insert:
    """The database's own insert, with `on_conflict_do_nothing` and `on_conflict_do_update`. Two transactions
    that insert the same key at once wait for each other, and neither fails."""
    is_postgres = session.get_bind().dialect.name == "postgresql"
    return postgresql.insert(table) if is_postgres else sqlite.insert(table)
