"""Organizations: made by the operator, administered by their own admins, and invisible to each other."""

import pytest

from service.db.organization.api_keys import ApiKeys
from tests.api import LiveApi, add_admin_key
from tests.service.cli.running import run_tunery


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


def test_a_project_is_deleted_by_its_id_alone(live: LiveApi) -> None:
    done = run_tunery(live, "projects", "delete", "product", "--yes")
    assert (done.exit_code, "not a project's id" in done.stderr) == (2, True)
