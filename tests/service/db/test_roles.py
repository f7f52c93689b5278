"""The service's role in PostgreSQL reads and writes rows, and changes no table and no audited entry."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError
from starlette.testclient import TestClient

from cluster.contracts.errors import InvalidConfiguration
from cluster.storage.local import LocalStore
from service.api.app import create_app
from service.api.state import AppState
from service.db.database import Database
from service.db.organization.audit_log import AuditLog
from service.db.roles import grant
from service.db.tables import Table
from service.settings import Settings
from tests.api import BASE, add_project, jsonl
from tests.databases import without_rows
from tests.fakes import FakeEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def owner(migrated_postgres_url: str) -> Iterator[Database]:
    with without_rows(migrated_postgres_url) as url, closing(Database(url)) as database:
        yield database


@pytest.fixture
def service_url(owner: Database, migrated_postgres_url: str) -> Iterator[str]:
    """The database as a role that the owner has granted to."""
    role = f"service_{secrets.token_hex(4)}"
    with psycopg.connect(migrated_postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'word'")
        grant(owner, role)
        grant(owner, role)
        url = make_url(migrated_postgres_url).set(username=role, password="word")
        try:
            yield url.render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


def test_the_api_runs_as_a_role_that_can_change_no_table_and_no_entry(
    service_url: str, tmp_path: Path
) -> None:
    with closing(Database(service_url)) as database:
        settings = Settings(database_url=service_url, storage_url=f"file://{tmp_path}/objects")
        store = LocalStore(tmp_path / "objects")
        state = AppState(settings, database, store, FakeEngine(), {BASE.alias: BASE})
        project = add_project(database)
        headers = {"authorization": f"Bearer {project.key}"}
        with TestClient(create_app(settings, open_state=lambda _: state), headers=headers) as http:
            upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
            file_id = http.post("/v1/files", **upload).json()["id"]
            job = {"model": "base-1", "training_file": file_id}
            assert http.post("/v1/fine_tuning/jobs", json=job).status_code == 200
            assert http.delete("/v1/webhook_endpoints/we_absent").status_code == 404
        with database.read() as session:
            assert len(AuditLog(session, project.tenant.organization_id).page(limit=9).data) == 3
        for statement in (
            "ALTER TABLE jobs ADD COLUMN x integer",
            "DROP TABLE jobs",
            "CREATE TABLE x (id integer)",
            "TRUNCATE jobs",
            "UPDATE audit_log SET body = '{}'",
            "DELETE FROM audit_log",
            "ALTER TABLE audit_log DISABLE TRIGGER ALL",
            "DROP TRIGGER audit_log_no_change ON audit_log",
            "SET session_replication_role = replica",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            with database.write() as session:
                with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
                    session.execute(text(statement))
                session.rollback()


def test_every_table_is_granted(owner: Database, service_url: str) -> None:
    with closing(Database(service_url)) as database, database.read() as session:
        for table in Table.metadata.sorted_tables:
            session.execute(text(f"SELECT 1 FROM {table.name} LIMIT 1"))


def test_a_role_that_could_do_everything_anyway_is_refused(
    owner: Database, migrated_postgres_url: str
) -> None:
    user = make_url(migrated_postgres_url).username
    assert user is not None
    for role, why in (("absent", "has no role"), (user, "superuser")):
        with pytest.raises(InvalidConfiguration, match=why):
            grant(owner, role)


def test_sqlite_has_no_roles(sqlite_template: str) -> None:
    with closing(Database(f"sqlite:///{sqlite_template}")) as database, pytest.raises(InvalidConfiguration):
        grant(database, "service")
