"""Sessions, clock and schema, on both databases."""

import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InternalError

from cluster.contracts.errors import InvalidConfiguration, Unavailable
from service.db.database import Database, now, sqlite_journal_mode
from service.db.migrating import migration_config
from service.db.tables import Organization, Table
from tests.databases import postgres_database


def test_the_migrated_schema_is_the_one_in_tables(database: Database) -> None:
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_two_processes_may_migrate_at_once(tmp_path: Path, postgres_url: str) -> None:
    code = "import sys; from service.db.database import Database; Database(sys.argv[1]).migrate()"
    with postgres_database(postgres_url) as empty:
        for url in (f"sqlite:///{tmp_path / 'new.db'}", empty):
            started = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(2)]
            assert [process.wait(300) for process in started] == [0, 0]
            database = Database(url)
            database.migrate()
            with database.read() as session:
                newest = ScriptDirectory.from_config(migration_config(session.connection())).get_heads()
                assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == newest
            database.close()


def test_a_write_is_atomic(database: Database) -> None:
    def insert(session, name):
        session.execute(
            text("INSERT INTO organizations (id, name, created_at) VALUES (:name, :name, 0)"), {"name": name}
        )

    with suppress(ZeroDivisionError), database.write() as session:
        insert(session, "lost")
        raise ZeroDivisionError
    with database.write() as session:
        insert(session, "kept")
    with database.read() as session:
        assert session.scalars(text("SELECT id FROM organizations")).all() == ["kept"]


def test_a_read_writes_nothing(database: Database) -> None:
    with suppress(InternalError), database.read() as session:  # PostgreSQL refuses, SQLite rolls back
        session.execute(text("INSERT INTO organizations (id, name, created_at) VALUES ('o', 'o', 0)"))
    with database.read() as session:
        assert session.scalars(text("SELECT id FROM organizations")).all() == []


def test_the_clock_is_the_databases_and_advances_within_a_transaction(database: Database) -> None:
    with database.write() as session:
        before = now(session)
        time.sleep(0.02)
        after = now(session)
    assert 0.01 < after - before < 5
    assert abs(after - time.time()) < 5


def ping(database: Database) -> None:
    with database.read() as session:
        session.execute(text("SELECT 1"))


def test_a_database_that_is_down_is_unavailable(tmp_path: Path) -> None:
    down = Database("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(Unavailable) as raised:
        ping(down)
    assert "secret" not in raised.value.message
    with pytest.raises(Unavailable):
        ping(Database(f"sqlite:///{tmp_path}/absent/folder/x.db"))


def test_connections_are_counted_after_it_was_closed_and_used_again(database: Database) -> None:
    database.close()
    with database.read() as session:
        session.execute(text("SELECT 1"))
        assert database.connections().busy == 1


def test_connections_that_the_server_closed_are_replaced(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    ping(database)
    with database.write() as session:
        killed = session.scalars(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).all()
    ping(database)
    assert all(killed)


def test_a_connection_to_a_server_that_became_a_standby_is_replaced(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no server")

    def add(id: str) -> None:
        with database.write() as session:
            session.add(Organization(id=id, name=id, created_at=0))

    with database.write() as session:
        session.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    with pytest.raises(Unavailable):
        add("refused")
    add("written")


def test_a_server_that_refuses_writes_is_unavailable_unless_the_url_accepts_it(postgres_url: str) -> None:
    with postgres_database(postgres_url) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = on"
            )
        with closing(Database(url)) as database, pytest.raises(Unavailable):
            ping(database)
        separator = "&" if "?" in url else "?"
        with closing(Database(f"{url}{separator}target_session_attrs=any")) as database:
            ping(database)


def test_a_writer_that_waits_too_long_gets_an_error(database_url: str) -> None:
    first, second = Database(database_url), Database(database_url, busy_seconds=0.2)
    with first.write() as session:
        session.execute(text("INSERT INTO organizations (id, name, created_at) VALUES ('o', 'o', 0)"))
        with pytest.raises(Unavailable), second.write() as other:
            other.execute(text("INSERT INTO organizations (id, name, created_at) VALUES ('o', 'o', 0)"))
    first.close()
    second.close()


def test_sqlite_writers_take_turns_and_lose_no_update(database: Database) -> None:
    with database.write() as session:
        session.execute(text("INSERT INTO organizations (id, name, created_at) VALUES ('o', '0', 0)"))

    def count() -> None:
        for _ in range(10):
            with database.write() as session:
                value = session.scalars(text("SELECT created_at FROM organizations" + lock)).one()
                session.execute(text("UPDATE organizations SET created_at = :value"), {"value": value + 1})

    lock = " FOR UPDATE" if database.dialect == "postgresql" else ""
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalars(text("SELECT created_at FROM organizations")).one() == 40


def test_sqlite_is_opened_durable_and_with_foreign_keys(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.read() as session:
        pragmas = {name: session.scalar(text(f"PRAGMA {name}")) for name in ("synchronous", "foreign_keys")}
        mode = session.scalar(text("PRAGMA journal_mode"))
    database.close()
    assert pragmas == {"synchronous": 2, "foreign_keys": 1}
    assert mode == sqlite_journal_mode(sqlite3.sqlite_version_info).lower()


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "DELETE"),
        ((3, 44, 5), "DELETE"),
        ((3, 44, 6), "WAL"),
        ((3, 45, 0), "DELETE"),
        ((3, 50, 6), "DELETE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 2), "DELETE"),
        ((3, 51, 3), "WAL"),
        ((3, 53, 0), "WAL"),
    ],
)
def test_the_write_ahead_log_is_used_only_where_it_cannot_corrupt(version, mode) -> None:
    assert sqlite_journal_mode(version) == mode


@pytest.mark.parametrize("url", ["mysql://host/x", "sqlite://", "sqlite:///:memory:", "not a url", ""])
def test_any_other_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidConfiguration):
        Database(url)


def test_an_error_of_the_database_does_not_show_the_values_of_rows(database: Database) -> None:
    def add() -> None:
        with database.write() as session:
            session.add(Organization(id="org", name="a secret", created_at=0))

    add()
    with pytest.raises(IntegrityError) as failed:
        add()
    assert "a secret" not in "".join(traceback.format_exception(failed.value))
