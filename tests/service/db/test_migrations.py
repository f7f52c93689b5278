"""Migrations of existing rows, on both databases."""

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, create_engine, make_url, select, text
from sqlalchemy.orm import Session

from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import AuthenticationFailed
from cluster.contracts.jobs import Finished
from cluster.contracts.weights import WeightsRef
from service.db import tables
from service.db.database import Database
from service.db.jobs.jobs import Jobs
from service.db.migrating import migration_config
from service.db.models.models import TunedModels
from service.db.new_indexes import NewIndex, create_indexes
from service.db.organization.api_keys import ApiKeys
from service.db.scheduler.queue_window import PlannedGang, gang_shape
from service.db.tenancy import Tenant
from service.db.usage.organization_usage import OrganizationUsage, UsageFilter
from service.db.usage.usage import Usage, UsageCounts
from tests.databases import postgres_database

TENANT = Tenant("org", "proj")
ROWS = {
    "organizations": {"id": "org", "name": "org", "created_at": 0},
    "projects": {"id": "proj", "organization_id": "org", "name": "proj", "created_at": 0},
    "files": {
        "id": "file-1",
        "organization_id": "org",
        "project_id": "proj",
        "filename": "a.jsonl",
        "purpose": "fine-tune",
        "bytes": 1,
        "sha256": "0",
        "object_key": "files/file-1",
        "status": "processed",
        "created_at": 1,
    },
}
QUEUED = {
    "organization_id": "org",
    "project_id": "proj",
    "status": "queued",
    "version": 0,
    "model": "tiny",
    "training_file": "file-1",
    "seed": 1,
    "hyperparameters": "{}",
    "training": "{}",
    "output_model": "",
    "attempt": 0,
    "next_event_seq": 0,
    "created_at": 1,
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'old.db'}"
    else:
        with postgres_database(request.getfixturevalue("postgres_url")) as url:
            yield url


def job_rows(id: str, type: str) -> dict[str, dict[str, object]]:
    """A published job of the first schema, with a checkpoint, a model and its runner's final state."""
    result = {"state": "finished", "trained_tokens": 1, "manifest_key": "k", "manifest_sha256": "s"}
    return {
        "jobs": {
            "id": id,
            "organization_id": "org",
            "project_id": "proj",
            "status": "succeeded",
            "version": 4,
            "model": "tiny",
            "training_file": "file-1",
            "seed": 1,
            "method": json.dumps({"type": "supervised"}),
            "hyperparameters": json.dumps({"n_epochs": 2}),
            "training": json.dumps({"type": type}),
            "output_model": f"ft:{id}",
            "progress": json.dumps(
                {"step": 1, "total_steps": 1, "tokens_per_second": 1.0, "eta_seconds": 0.0}
            ),
            "attempt": 1,
            "next_event_seq": 0,
            "created_at": 1,
        },
        "attempts": {
            "job_id": id,
            "number": 1,
            "submission_id": f"{id}-a1",
            "token_sha256": "t",
            "state": "ended",
            "created_at": 1.0,
            "heartbeat_at": 1.0,
            "result": json.dumps(result),
        },
        "checkpoints": {
            "id": f"ckpt-{id}",
            "job_id": id,
            "step": 1,
            "model_name": f"ft:{id}:ckpt-step-1",
            "manifest_key": "k",
            "manifest_sha256": "s",
            "metrics": "{}",
            "created_at": 1,
        },
        "models": {
            "id": f"ft:{id}",
            "organization_id": "org",
            "project_id": "proj",
            "job_id": id,
            "base": "tiny",
            "type": type,
            "manifest_key": "k",
            "manifest_sha256": "s",
            "created_at": 1,
        },
    }


def fill_first_schema(url: str, *jobs: dict[str, dict[str, object]], revision: str = "0001") -> None:
    driver = "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"
    engine = create_engine(make_url(url).set(drivername=driver))
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), revision)
        for rows in (ROWS, *jobs):
            for table, row in rows.items():
                values = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"), row)
    engine.dispose()


def test_rows_of_the_first_schema_keep_their_data_and_get_their_form(url: str) -> None:
    fill_first_schema(url, job_rows("one", "lora"), job_rows("two", "full"))
    database = Database(url)
    database.migrate()
    with database.read() as session:
        forms: dict[str, WeightsForm] = {"one": "lora", "two": "full"}
        for id, form in forms.items():
            adapter = WeightsRef(digest="s", manifest_key="k", form=form)
            models = TunedModels(session, TENANT)
            assert models.resolve(f"ft:{id}").adapter == adapter
            assert models.resolve(f"ft:{id}:ckpt-step-1").adapter == adapter
            result = session.get_one(tables.Attempt, (id, 1)).result
            assert Finished.model_validate(result).form == form
            job = Jobs(session, TENANT).get(id)
            assert (job.training.type, job.hyperparameters.n_epochs, job.method) == (form, 2, "supervised")
            assert (job.report, job.start_from, job.training.general_file) == (None, None, None)
    database.close()


def test_earlier_admin_keys_become_the_operators_and_can_be_replaced(url: str) -> None:
    def key_row(plaintext: str, name: str) -> dict[str, dict[str, object]]:
        digest = hashlib.sha256(plaintext.encode()).hexdigest()
        row = {
            "id": f"given-{digest[:16]}",
            "organization_id": "org-default",
            "project_id": "proj-default",
            "name": name,
            "secret_sha256": digest,
            "scopes": json.dumps(["admin"]),
            "created_at": 1,
        }
        return {"api_keys": row}

    tenant: dict[str, dict[str, object]] = {
        "organizations": {"id": "org-default", "name": "o", "created_at": 0},
        "projects": {"id": "proj-default", "organization_id": "org-default", "name": "p", "created_at": 0},
    }
    fill_first_schema(url, tenant, key_row("an old admin key", "admin"), key_row("a made key", "ci"))
    database = Database(url)
    database.migrate()
    with database.write() as session:
        keys = ApiKeys(session)
        assert keys.authenticate("an old admin key").may("admin")
        keys.ensure_admin("the new admin key")
        assert keys.authenticate("a made key").may("admin")
        with pytest.raises(AuthenticationFailed):
            keys.authenticate("an old admin key")
    database.close()


def test_queued_jobs_get_the_shapes_of_their_gangs(url: str) -> None:
    gangs = (PlannedGang("h100", 8, None, (4, 2)), PlannedGang("l4", 8, 10.0))
    # As earlier releases planned them.
    old = [{"pool": "h100", "workers": 8, "seconds": None}]

    def job(id: str, **columns: object) -> dict[str, dict[str, object]]:
        return {"jobs": {**QUEUED, "id": id, **columns}}

    rows = [
        job("one", gangs=json.dumps([asdict(gang) for gang in gangs])),
        job("two", gangs=json.dumps(old)),
        job("new"),
        job("over", gangs=json.dumps(old), status="succeeded"),
    ]
    fill_first_schema(url, *rows, revision="0037")
    database = Database(url)
    database.migrate()
    with database.read() as session:
        shapes = {job.id: job.gang_shape for job in session.scalars(select(tables.Job))}
    assert shapes == {
        "one": gang_shape(gangs),
        "two": gang_shape([PlannedGang("h100", 8, None)]),
        "new": "",
        "over": "",
    }
    database.close()


def test_usage_by_day_becomes_usage_by_hour(url: str) -> None:
    key = {
        "id": "key-1",
        "organization_id": "org",
        "project_id": "proj",
        "name": "k",
        "secret_sha256": "0",
        "scopes": "[]",
        "created_at": 1,
    }
    usage = {
        "api_key_id": "key-1",
        "model": "tiny",
        "day": "2026-03-02",
        "writer": "w",
        "organization_id": "org",
        "project_id": "proj",
        "requests": 1,
        "prompt_tokens": 2,
        "completion_tokens": 3,
    }
    fill_first_schema(url, {"api_keys": key, "usage": usage}, revision="0003")
    database = Database(url)
    database.migrate()
    with database.read() as session:
        ((found, counts),) = Usage(session, TENANT).between(date(2026, 3, 2), date(2026, 3, 2))
        assert (found.api_key_id, found.model, counts) == ("key-1", "tiny", UsageCounts(1, 2, 3))
        midnight = 1_772_409_600
        wanted = UsageFilter(start=midnight, end=midnight + 3600, width=3600)
        assert OrganizationUsage(session, "org").of_models("completions", wanted) == {midnight: {(): counts}}
    database.close()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    """At revision 0034. On model_imports, 0035 builds an index, which lets others read, and 0036 does not."""
    with postgres_database(postgres_url) as url, closing(Database(url)) as database:
        with database.migrating() as connection:
            command.upgrade(migration_config(connection), "0034")
        yield database


def version(database: Database) -> str:
    with database.read() as session:
        return str(session.scalar(text("SELECT version_num FROM alembic_version")))


def test_a_migration_that_cannot_lock_a_table_lets_others_read_it_and_tries_again(
    postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as thread:
        with postgres.read() as reader:
            reader.execute(text("SELECT count(*) FROM model_imports"))
            migrated = thread.submit(postgres.migrate, lock_seconds=0.1)
            while len(caplog.records) < 2:
                assert not migrated.done()
                time.sleep(0.05)
            with postgres.read() as other:
                other.execute(text("SELECT count(*) FROM model_imports"))
            assert version(postgres) == "0035", "each revision is committed for itself"
        migrated.result(60)
    assert "0036 waits for tables that are in use. Oldest transactions: process" in caplog.text


def test_building_indexes_lets_others_write(postgres: Database) -> None:
    def add(session: Session, id: str) -> None:
        session.execute(
            text("INSERT INTO organizations (id, name, created_at) VALUES (:id, :id, 0)"), {"id": id}
        )

    index = NewIndex("ix_organizations_name", "organizations", ["name"])
    with ThreadPoolExecutor(1) as thread, outside_of_a_transaction(postgres) as connection:
        with postgres.write() as session:
            add(session, "first")
            created = thread.submit(create_indexes, connection, [index], concurrently=True)
            while not is_building(postgres):
                assert not created.done()
                time.sleep(0.05)
            with postgres.write() as other:
                add(other, "second")
        created.result(60)


def is_building(database: Database) -> bool:
    """In a transaction of its own: within one, PostgreSQL shows the same progress each time."""
    with database.read() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_stat_progress_create_index")))


def test_an_index_whose_building_was_interrupted_is_built_again(postgres: Database) -> None:
    index = NewIndex("ix_organizations_name", "organizations", ["name"])
    its_row = "WHERE indexrelid = to_regclass('ix_organizations_name')"
    with outside_of_a_transaction(postgres) as connection:
        create_indexes(connection, [index], concurrently=True)
        connection.execute(text(f"UPDATE pg_index SET indisvalid = false {its_row}"))
        for _ in range(2):
            create_indexes(connection, [index], concurrently=True)
            assert connection.scalar(text(f"SELECT indisvalid FROM pg_index {its_row}"))


def outside_of_a_transaction(database: Database) -> Connection:
    return database._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
