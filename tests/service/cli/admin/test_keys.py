"""`tunery projects` and `tunery keys`, against a live API."""

import json

import pytest

from service.cli.admin.keys import seconds
from service.cli.failures import CommandFailed
from tests.api import LiveApi, add_admin_key
from tests.service.cli.running import run_tunery


@pytest.mark.slow
def test_a_project_and_its_key_are_made_used_listed_and_withdrawn(live: LiveApi) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)

    def run(*arguments: str, exit_code: int = 0) -> str:
        done = run_tunery(live, *arguments, key=admin)
        assert done.exit_code == exit_code, done.stderr
        return done.stdout

    project = run("projects", "create", "product").strip()
    assert f"{project}\tproduct\tactive" in run("projects", "ls")
    made = run("keys", "create", "app", "--project", "product", "--scope", "infer", "--expires", "30d")
    key = made.strip()
    assert run_tunery(live, "projects", "ls", key=key).exit_code == 3
    with live.openai(api_key=key) as client:
        assert [model.id for model in client.models.list()] == ["base-1"]
    (listed,) = json.loads(run("keys", "ls", "--project", project, "--json"))
    assert listed["tunery"]["scopes"] == ["infer"]
    assert listed["expires_at"] == listed["created_at"] + 30 * 86_400
    assert key.split("-")[2] not in json.dumps(listed)
    assert run("keys", "ls", "--project", "product").startswith(f"{listed['id']}\tapp\tinfer\t\t")
    assert "is revoked" in run("keys", "revoke", listed["id"], "--project", "product", "--yes")
    assert run("keys", "ls", "--project", "product") == ""
    run("keys", "revoke", listed["id"], "--project", "product", "--yes", exit_code=4)
    assert "is archived" in run("projects", "archive", "product", "--yes")
    assert "product" not in run("projects", "ls")
    assert f"{project}\tproduct\tarchived" in run("projects", "ls", "--archived")
    archived = run_tunery(live, "projects", "holds", "product", key=admin)
    assert (archived.exit_code, f"Give its id: {project}." in archived.stderr) == (4, True)


@pytest.mark.slow
def test_admin_keys_are_made_and_revoked(live: LiveApi) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)
    made = json.loads(run_tunery(live, "keys", "create", "second", "--admin", "--json", key=admin).stdout)
    assert run_tunery(live, "keys", "ls", "--admin", key=made["value"]).exit_code == 0
    assert run_tunery(live, "keys", "revoke", made["id"], "--admin", "--yes", key=admin).exit_code == 0
    assert run_tunery(live, "keys", "ls", "--admin", key=made["value"]).exit_code == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["ls"], 2, "either --project or --admin"),
        (["ls", "--admin", "--project", "x"], 2, "either --project or --admin"),
        (["create", "x", "--admin", "--scope", "read"], 2, "leave out --scope"),
        (["create", "x", "--admin", "--expires", "soon"], 2, "no duration"),
        (["create", "x", "--project", "absent"], 4, "No project is called 'absent'"),
        (["create", "x", "--project", "twice"], 1, "Several projects are called 'twice'"),
        (["create", "x", "--project", "proj_absent"], 4, "No such project: proj_absent"),
        (["create", "x", "--project", "once", "--scope", "all"], 1, "scopes"),
    ],
)
def test_what_cannot_work_says_why(live: LiveApi, arguments: list[str], exit_code: int, message: str) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)
    for name in ("once", "twice", "twice"):
        assert run_tunery(live, "projects", "create", name, key=admin).exit_code == 0
    done = run_tunery(live, "keys", *arguments, key=admin)
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert message in done.stderr


def test_durations_have_a_unit() -> None:
    assert [seconds(text) for text in ("90s", "2m", "12h", "30d", "8w")] == [
        90,
        120,
        43_200,
        2_592_000,
        4_838_400,
    ]
    for text in ("", "30", "d", "-1d", "0d", "1.5h", "1y", "30 d"):
        with pytest.raises(CommandFailed):
            seconds(text)


@pytest.mark.slow
def test_a_projects_limits_are_shown_set_and_reset(live: LiveApi) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)

    def run(*arguments: str, exit_code: int = 0) -> str:
        project = live.project.tenant.project_id
        done = run_tunery(live, "projects", "limits", project, *arguments, key=admin)
        assert done.exit_code == exit_code, done.stderr
        return done.stdout + done.stderr

    assert "max_jobs_per_1_day\tunlimited (used: 0)" in run()
    assert "max_jobs_per_1_day\t3 (used: 0)" in run("--set", "max_jobs_per_1_day=3")
    assert "max_jobs_per_1_day\t3 (used: 0)" in run("--set", "max_concurrent_jobs=2")
    assert "max_jobs_per_1_day\tunlimited" in run("--reset")
    assert "write NAME=VALUE" in run("--set", "max_jobs", exit_code=2)
    assert "Did you mean max_jobs_per_1_day?" in run("--set", "max_jobs_per_day=1", exit_code=2)
    assert "either --set or --reset" in run("--set", "max_jobs_per_1_day=3", "--reset", exit_code=2)
