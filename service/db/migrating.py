"""Migrates the schema: one process at a time, each revision in its own transaction, without blocking other
processes for long."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    # Not imported at run time, because Alembic would take a tenth of the API's start-up time.
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x74756E657279
"""Key of PostgreSQL's advisory lock for migrations. Any number works as long as all processes use the same
one."""
_LOCK_NOT_AVAILABLE = "55P03"
_PATIENCE_SECONDS = 600.0
"""How long a revision is retried while other transactions hold the tables that it changes."""
_POLL_SECONDS = 0.2


def upgrade(engine: Engine, *, lock_seconds: float) -> None:
    """Brings the schema up to date. A statement that waits for a lock on a table blocks every later query of
    the table. So a revision gives up after `lock_seconds`, and is retried after a pause of the same length.
    Raises OperationalError after ten minutes of retries."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(MIGRATIONS))
    with migration_lock(engine) as locked:
        while (revision := _next_revision(engine, script)) is not None:
            if locked is not None:
                _create_indexes(locked, revision)
            _retried(lambda: _apply(engine, script, revision, lock_seconds), engine, revision, lock_seconds)


@contextmanager
def migration_lock(engine: Engine) -> Iterator[Connection | None]:
    """On PostgreSQL, yields a connection outside of a transaction that holds the lock and has no time limits.
    SQLite has no such lock: only one of its write transactions runs at a time."""
    if engine.dialect.name == "sqlite":
        yield None
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            # Not within the query: an index that is built concurrently would wait for the query's snapshot.
            while not connection.scalar(select(func.pg_try_advisory_lock(_LOCK))):
                time.sleep(_POLL_SECONDS)
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SET lock_timeout = 0"))
            yield connection
        finally:
            connection.invalidate()  # ends the lock and these settings


@contextmanager
def migration_transaction(engine: Engine, *, lock_seconds: float = 0.0) -> Iterator[Connection]:
    """Call it under the lock. If `lock_seconds` is 0, it waits for tables without a limit. Raises
    RuntimeError, with nothing written, if rows would refer to rows that do not exist."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            with connection.begin():
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text(f"SET LOCAL lock_timeout = {int(lock_seconds * 1000)}"))
                yield connection
        else:
            with _foreign_keys_checked_at_the_end(connection), connection.begin():
                yield connection
                _check_foreign_keys(connection)


def migration_config(connection: Connection) -> "Config":
    """Alembic's configuration to run inside this connection's transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _next_revision(engine: Engine, script: "ScriptDirectory") -> "Script | None":
    with engine.connect() as connection:
        return _after(script, _current(connection))


def _current(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _after(script: "ScriptDirectory", current: str | None) -> "Script | None":
    """Raises CommandError if `current` belongs to a later release."""
    if current is not None:
        script.get_revision(current)
    following = [one for one in script.walk_revisions() if one.down_revision == current]
    return following[0] if following else None


def _create_indexes(connection: Connection, revision: "Script") -> None:
    """Creates the revision's indexes before the revision does, and without blocking writers."""
    from service.db.new_indexes import create_indexes

    if indexes := getattr(revision.module, "INDEXES", ()):
        log.info("migration %s builds indexes; waits for earlier transactions", revision.revision)
        create_indexes(connection, indexes, concurrently=True)


def _apply(engine: Engine, script: "ScriptDirectory", revision: "Script", lock_seconds: float) -> None:
    """Does nothing if another process has applied it meanwhile."""
    from alembic.runtime.environment import EnvironmentContext

    with migration_transaction(engine, lock_seconds=lock_seconds) as connection:
        if _current(connection) != revision.down_revision:
            return
        # Does the same as `alembic.command.upgrade`, which would read all revisions each time.
        steps = partial(script._upgrade_revs, revision.revision)
        config = migration_config(connection)
        with EnvironmentContext(config, script, fn=lambda current, _: steps(current)):
            script.run_env()


def _retried(apply: Callable[[], None], engine: Engine, revision: "Script", seconds: float) -> None:
    gives_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return apply()
        except OperationalError as error:
            is_locked = getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE
            if not is_locked or time.monotonic() > gives_up_at:
                raise
        log.warning(
            "migration %s waits for tables that are in use. Oldest transactions: %s",
            revision.revision,
            _oldest_transactions(engine),
        )
        time.sleep(seconds)


def _oldest_transactions(engine: Engine) -> str:
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT pid, usename, application_name, state, extract(epoch FROM now() - xact_start)::int "
                "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 3"
            )
        )
        told = [
            f"process {pid} of {user} ({name or 'unnamed'}), {state}, since {seconds} seconds"
            for pid, user, name, state, seconds in rows
        ]
    return "; ".join(told) or "none now"


@contextmanager
def _foreign_keys_checked_at_the_end(connection: Connection) -> Iterator[None]:
    """Allows a table to be recreated while rows refer to it, which is how SQLite changes columns: dropping
    the old table would otherwise fail, or delete those rows
    (https://sqlite.org/lang_altertable.html#otheralter)."""
    sqlite = connection.connection.driver_connection
    assert isinstance(sqlite, sqlite3.Connection)
    sqlite.execute("PRAGMA foreign_keys = OFF")  # has no effect within a transaction
    try:
        yield
    finally:
        sqlite.execute("PRAGMA foreign_keys = ON")


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.execute(text("PRAGMA foreign_key_check")).all()
    if broken:
        pairs = sorted({f"{row.table} to {row.parent}" for row in broken})
        raise RuntimeError(f"{len(broken)} rows would refer to rows that do not exist: {', '.join(pairs)}.")
