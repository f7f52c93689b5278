"""Organizations: made by the operator, administered by their own admins, and invisible to each other."""

import json

import pytest
from sqlalchemy import select
from typer.testing import Result

from service.db import tables
from service.db.organization.api_keys import DEFAULT_TENANT, ApiKeys
from service.db.organization.audit_log import AuditLog
from service.db.organization.key_sets import KeySet
from service.db.retention.holds import LegalHolds
from service.db.tenancy import Tenant
from tests.api import LiveApi, add_admin_key, jsonl
from tests.service.cli.running import run_tunery
from tests.service.db.rows import pass_days


@pytest.fixture
def operator(live: LiveApi) -> str:
    with live.state.database.write() as session:
        return ApiKeys(session).ensure_admin(None)


def test_the_operator_makes_an_organization_that_its_admin_runs_alone(live: LiveApi, operator: str) -> None:
    made = run_tunery(live, "organizations", "create", "acme", key=operator)
    assert made.exit_code == 0, made.stderr
    admin = made.stdout.strip()
    assert "\tacme\t" in run_tunery(live, "organizations", "ls", key=operator).stdout
    run_tunery(live, "projects", "create", "theirs", key=admin)
    assert [line.split("\t")[1] for line in projects(live, admin)] == ["theirs", "default"]
    assert "theirs" not in "".join(projects(live, operator))
    with live.openai(api_key=admin) as client:
        assert client.models.list().data
    entries = run_tunery(live, "audit", "ls", key=admin).stdout
    assert "organization.created" in entries
    assert run_tunery(live, "audit", "verify", key=admin).exit_code == 0


def projects(live: LiveApi, key: str) -> list[str]:
    return run_tunery(live, "projects", "ls", key=key).stdout.splitlines()


def test_other_admins_make_no_organizations(live: LiveApi) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)
    for command in (["create", "x"], ["ls"]):
        done = run_tunery(live, "organizations", *command, key=admin)
        assert (done.exit_code, "operator's key" in done.stderr) == (3, True)


def made_by(live: LiveApi, operator: str) -> tuple[str, str]:
    """A new organization's id and its admin key."""
    made = run_tunery(live, "organizations", "create", "acme", "--json", key=operator)
    found = json.loads(made.stdout)
    return found["id"], found["admin_api_key"]


def test_an_organization_that_has_lost_its_keys_gets_one_and_its_log_tells(
    live: LiveApi, operator: str
) -> None:
    id, lost = made_by(live, operator)
    with live.state.database.write() as session:
        for key in KeySet.of_admins(session, id).page(limit=10).data:
            KeySet.of_admins(session, id).revoke(key.id)
    assert run_tunery(live, "projects", "ls", key=lost).exit_code == 3
    found = run_tunery(live, "organizations", "recover", id, "--expires", "1d", key=operator)
    assert found.exit_code == 0, found.stderr
    admin = found.stdout.strip()
    assert [line.split("\t")[1] for line in projects(live, admin)] == ["default"]
    for reader in (admin, operator):
        assert "organization.recovered" in run_tunery(live, "audit", "ls", key=reader).stdout
    stranger = add_admin_key(live.state.database, live.project.tenant)
    for command in ("recover", "archive", "delete"):
        flags = [] if command == "recover" else ["--yes"]
        done = run_tunery(live, "organizations", command, id, *flags, key=stranger)
        assert (done.exit_code, "operator's key" in done.stderr) == (3, True)


def test_an_organization_ends_by_being_archived_and_then_deleted(live: LiveApi, operator: str) -> None:
    id, admin = made_by(live, operator)
    run_tunery(live, "projects", "create", "second", key=admin)
    with live.openai(api_key=admin) as client:
        file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(model="base-1", training_file=file.id)

    def run(command: str, *arguments: str) -> Result:
        return run_tunery(live, "organizations", command, id, *arguments, key=operator)

    assert "organization_not_archived" in run("delete", "--yes").stderr
    assert run("archive", "--yes").exit_code == 0
    assert run_tunery(live, "projects", "ls", key=admin).exit_code == 3
    with live.state.database.read() as session:
        assert session.get_one(tables.Job, job.id).status == "cancelled"
    assert "\tarchived" in run_tunery(live, "organizations", "ls", key=operator).stdout
    assert "organization_archived" in run("recover").stderr
    assert "project_busy" in run("delete", "--yes").stderr
    pass_days(live.state.database, 1)
    assert run("archive", "--yes").exit_code == 0, "again"
    deleted = run("delete", "--yes")
    assert deleted.exit_code == 0, deleted.stderr
    assert id not in run_tunery(live, "organizations", "ls", key=operator).stdout
    assert run("delete", "--yes").exit_code != 0
    with live.state.database.read() as session:
        for table in (tables.Project, tables.ApiKey, tables.File, tables.Job):
            assert session.scalar(select(table.id).where(table.organization_id == id)) is None
        types = [entry["type"] for entry in AuditLog(session, id).page(limit=100).data]
    for type in ("organization.archived", "api_key.deleted", "project.archived", "organization.deleted"):
        assert type in types
    log = run_tunery(live, "audit", "ls", key=operator).stdout
    assert "organization.archived" in log
    assert "organization.deleted" in log


def test_nothing_of_an_organization_is_deleted_while_any_of_it_is_held(live: LiveApi, operator: str) -> None:
    id, admin = made_by(live, operator)
    run_tunery(live, "projects", "create", "second", key=admin)
    project = tables.Project
    mine = select(project.id).where(project.organization_id == id).order_by(project.name)
    with live.state.database.write() as session:
        held, second = session.scalars(mine).all()
        key_id = session.scalars(select(tables.ApiKey.id).where(tables.ApiKey.organization_id == id)).one()
        LegalHolds(session, Tenant(id, held)).place(held, "a court's order", api_key_id=key_id)
    assert run_tunery(live, "organizations", "archive", id, "--yes", key=operator).exit_code == 0
    pass_days(live.state.database, 1)
    refused = run_tunery(live, "organizations", "delete", id, "--yes", key=operator)
    assert "legal_hold" in refused.stderr
    with live.state.database.read() as session:
        assert session.scalars(mine).all() == [held, second]


def test_the_operators_organization_cannot_be_archived(live: LiveApi, operator: str) -> None:
    own = DEFAULT_TENANT.organization_id
    refused = run_tunery(live, "organizations", "archive", own, "--yes", key=operator)
    assert "operators_organization" in refused.stderr
    assert run_tunery(live, "projects", "ls", key=operator).exit_code == 0


def test_a_project_is_deleted_by_its_id_alone(live: LiveApi) -> None:
    done = run_tunery(live, "projects", "delete", "product", "--yes")
    assert (done.exit_code, "not a project's id" in done.stderr) == (2, True)
