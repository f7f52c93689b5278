"""Retention, legal holds and stored bytes, as an administrator sets and sees them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.database import Database, now
from service.db.retention.rules import RetentionRules
from service.scheduling.sweeping.sweep import SweepOptions, sweep
from service.settings import Settings
from tests.api import LiveApi, Project, add_admin_key, add_project, add_tuned_model, jsonl
from tests.service.cli.running import run_tunery
from tests.service.db.rows import add_job, pass_days


@pytest.fixture
def admin(live: LiveApi) -> str:
    return add_admin_key(live.state.database, live.project.tenant)


def tunery(live: LiveApi, admin: str, *arguments: object) -> str:
    done = run_tunery(live, "projects", *arguments, key=admin)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def swept(live: LiveApi) -> None:
    rules = live.state.settings.retention
    sweep(live.state.database, live.state.store, SweepOptions(0, 0, retention=rules), clock=lambda: 1e12)


def test_a_project_keeps_its_files_for_as_long_as_an_administrator_says(live: LiveApi, admin: str) -> None:
    project, client = live.project.tenant.project_id, live.openai()
    id = live.upload()
    assert "files\tforever (set by the server)" in tunery(live, admin, "retention", project)
    tunery(live, admin, "retention", "--set", "files=90", "--set", "usage=730.5", "--yes")
    assert "files\t90 days (set by the organization)" in tunery(live, admin, "retention", project)
    own = ("--set", "files=30", "--set", "usage=forever", "--set", "events=1")
    shown = tunery(live, admin, "retention", project, *own, "--yes")
    assert "files\t30 days (set by the project)" in shown
    assert "usage\tforever (set by the project)" in shown
    assert "exports\t7 days (set by the server)" in shown
    back = ("--set", "usage=default", "--set", "events=default")
    shown = tunery(live, admin, "retention", project, *back, "--yes")
    assert "usage\t730.5 days (set by the organization)" in shown
    assert "events\tforever (set by the server)" in shown
    assert "files\t30 days (set by the project)" in shown
    pass_days(live.state.database, 20)
    assert tunery(live, admin, "due", project).splitlines()[0] == "files\t0\t0\t"
    size = client.files.retrieve(id).bytes
    assert tunery(live, admin, "due", project, "--within", 10).startswith(f"files\t1\t{size}\t")
    pass_days(live.state.database, 10)
    swept(live)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(id)
    deleted = run_tunery(live, "audit", "ls", "--type", "file.deleted", key=admin).stdout
    assert id in deleted
    refused = run_tunery(live, "projects", "retention", project, "--reset", "--set", "files=1", key=admin)
    assert (refused.exit_code, "either --set or --reset" in refused.stderr) == (2, True)
    assert "files\t90 days" in tunery(live, admin, "retention", project, "--reset", "--yes")
    tunery(live, admin, "retention", "--set", "files=default", "--yes")
    assert "files\tforever (set by the server)" in tunery(live, admin, "retention", project)
    assert "usage\tforever" in tunery(live, admin, "retention", "--reset", "--yes")


def test_terms_are_changed_only_on_a_yes_and_for_kinds_that_there_are(live: LiveApi, admin: str) -> None:
    for change, why in (
        (("--set", "files=1"), "Add --yes"),
        (("--reset",), "Add --yes"),
        (("--set", "foo=3", "--yes"), "There is no kind 'foo': write one of files, results, events, usage, "),
        (
            ("--set", "files=soon", "--yes"),
            "'soon' is not a number of days: write one, `forever` or",
        ),
    ):
        refused = run_tunery(live, "projects", "retention", *change, key=admin)
        assert (refused.exit_code, why in refused.stderr) == (2, True), refused.stderr
    assert "files\tforever (set by the server)" in tunery(live, admin, "retention")


def test_terms_stay_within_the_operators_bounds(state: AppState, project: Project) -> None:
    settings = Settings(min_retention_days={"events": 30}, max_retention_days={"files": 365})
    headers = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    path = f"/v1/organization/projects/{project.tenant.project_id}/retention"
    app = create_app(settings, open_state=lambda _: replace(state, settings=settings))
    with TestClient(app, headers=headers) as http:
        for terms, why in (
            ({"files": "forever"}, "at most 365 days"),
            ({"files": 400}, "at most 365 days"),
            ({"events": 7}, "at least 30 days, and not for 7 days"),
        ):
            for url in (path, "/v1/organization/retention"):
                error = http.post(url, json=terms).json()["error"]
                assert (error["code"], error["param"]) == ("retention_out_of_bounds", *terms)
                assert why in error["message"]
        assert http.get(path).json()["files"] == {"days": 365.0, "set_by": "server"}
        for terms in ({"files": 0}, {"files": -1}, {"files": "long"}, {"models": 1}, {"files": 1e9}):
            assert http.post(path, json=terms).status_code == 400


def test_what_is_held_is_not_deleted_and_only_administrators_read_why(live: LiveApi, admin: str) -> None:
    project, client = live.project.tenant.project_id, live.openai()

    def short_lived() -> str:
        soon: Any = {"anchor": "created_at", "seconds": 3600}
        return client.files.create(file=("a.jsonl", b"{}"), purpose="user_data", expires_after=soon).id

    file = client.files.retrieve(short_lived())
    assert file.expires_at
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    model, checkpoint = add_tuned_model(live.state.database, job.id)
    whole = tunery(live, admin, "hold", project, "--reason", "Smith v. Jones").strip()
    tunery(live, admin, "hold", project, job.id, "--reason", "Smith v. Jones")
    deletions = (
        lambda: client.files.delete(file.id),
        lambda: client.models.delete(model),
        lambda: client.models.delete(checkpoint),
    )
    for delete in deletions:
        with pytest.raises(openai.ConflictError) as refused:
            delete()
        assert refused.value.code == "legal_hold"
        assert "Smith" not in refused.value.message
    again = run_tunery(live, "projects", "hold", project, "--reason", "x", key=admin)
    assert "legal hold on" in again.stderr
    listed = tunery(live, admin, "holds", project)
    assert len(listed.splitlines()) == 2
    assert "Smith v. Jones" in listed
    assert run_tunery(live, "projects", "holds", project).exit_code != 0
    tunery(live, admin, "release", project, whole, "--yes")
    client.files.delete(file.id)
    with pytest.raises(openai.ConflictError):
        client.models.delete(model)
    tunery(live, admin, "retention", project, "--set", "files=1", "--set", "events=1", "--yes")
    with live.state.database.write() as session:
        session.get_one(tables.Job, job.id).finished_at = 1
    swept(live)
    assert client.files.retrieve(job.training_file)
    assert client.fine_tuning.jobs.list_events(job.id).data


@pytest.mark.parametrize("held", ["project", "job", "file"])
def test_a_held_file_expires_only_once_the_hold_is_released(live: LiveApi, admin: str, held: str) -> None:
    project, client = live.project.tenant.project_id, live.openai()
    soon: Any = {"anchor": "created_at", "seconds": 3600}
    id = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune", expires_after=soon).id
    job = client.fine_tuning.jobs.create(model="base-1", training_file=id)
    client.fine_tuning.jobs.cancel(job.id)
    resource = {"project": [], "job": [job.id], "file": [id]}[held]
    hold = tunery(live, admin, "hold", project, *resource, "--reason", "Smith v. Jones").strip()
    pass_days(live.state.database, 1)
    swept(live)
    assert client.files.content(id).content == jsonl()
    assert [file.id for file in client.files.list()] == [id]
    assert client.fine_tuning.jobs.create(model="base-1", training_file=id).status == "validating_files"
    for unended in client.fine_tuning.jobs.list():
        if unended.status == "validating_files":
            client.fine_tuning.jobs.cancel(unended.id)
    tunery(live, admin, "release", project, hold, "--yes")
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(id)
    assert list(live.state.store.list(f"files/{id}"))
    swept(live)
    assert not list(live.state.store.list(f"files/{id}"))


def test_what_deleted_projects_used_and_names_of_deleted_files_go_too(live: LiveApi, admin: str) -> None:
    project, client = live.project.tenant, live.openai()
    file = client.files.create(file=("smith.jsonl", jsonl()), purpose="fine-tune").id
    client.files.delete(file)
    kept = client.files.create(file=("jones.jsonl", jsonl()), purpose="fine-tune").id
    row = tables.PastUsage
    with live.state.database.write() as session:
        for days in (10, 400):
            used = {"requests": 1, "prompt_tokens": 1, "completion_tokens": 1, "device_seconds": 1.0}
            start = int(now(session)) - days * 86_400
            organization_id = project.organization_id
            session.add(
                row(
                    project_id="proj_gone",
                    operation="completions",
                    base="base-1",
                    start=start,
                    organization_id=organization_id,
                    **used,
                )
            )

    def starts() -> int:
        with live.state.database.read() as session:
            return len(session.scalars(select(row.start)).all())

    swept(live)
    assert starts() == 2
    with live.state.database.read() as session:
        assert session.get_one(tables.File, file).filename == ""
        assert session.get_one(tables.File, kept).filename == "jones.jsonl"
    rules = RetentionRules(most={"usage": 365})
    sweep(live.state.database, live.state.store, SweepOptions(0, 0, retention=rules))
    assert starts() == 1
    assert "usage.deleted" in run_tunery(live, "audit", "ls", key=admin).stdout


def test_stored_bytes_are_those_of_the_store(live: LiveApi, admin: str) -> None:
    before = run_tunery(live, "projects", "storage", key=admin)
    assert (before.stdout, "No sweep has counted yet" in before.stderr) == ("", True)
    size = len(live.state.store.get(f"files/{live.upload()}"))
    swept(live)
    project = live.project.tenant.project_id
    assert tunery(live, admin, "storage") == f"{project}\tfiles\t1\t{size}\nall\t\t\t{size}\n"
    other = add_admin_key(live.state.database, add_project(live.state.database).tenant)
    assert tunery(live, other, "storage") == "all\t\t\t0\n"


class ListedStore(LocalStore):
    """Remembers which folders were listed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listed: list[str] = []

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self.listed.append(prefix)
        return super().list(prefix)


def add_checkpoints(database: Database, job_id: str, steps: range) -> None:
    with database.write() as session:
        for step in steps:
            session.add(
                tables.Checkpoint(
                    id=f"ftckpt_{job_id}_{step}",
                    job_id=job_id,
                    step=step,
                    model_name=f"ft:{job_id}:ckpt-step-{step}",
                    manifest_key=f"jobs/{job_id}/attempts/1/checkpoints/step-{step:08d}/manifest.json",
                    manifest_sha256="7" * 64,
                    form="lora",
                    metrics={},
                    created_at=5,
                )
            )


def test_a_folder_is_listed_once_and_of_too_many_none(
    state: AppState, project: Project, tmp_path: Path
) -> None:
    store, settings = ListedStore(tmp_path / "listed"), Settings(resume_state_seconds=1)
    id = add_job(state.database, project.tenant).id
    folder = f"jobs/{id}/attempts/1/checkpoints/step-00000007"
    for name in ("manifest.json", "resume_manifest.json"):
        store.put(f"{folder}/{name}", b"{}")
    add_checkpoints(state.database, id, range(7, 8))
    with state.database.write() as session:
        job = session.get_one(tables.Job, id)
        job.status, job.finished_at = "succeeded", 1
        job.resume_manifest_key = f"{folder}/resume_manifest.json"
    headers = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    path = f"/v1/organization/projects/{project.tenant.project_id}/retention"
    opened = replace(state, settings=settings, store=store)
    with TestClient(create_app(settings, open_state=lambda _: opened), headers=headers) as http:
        http.post(path, json={"checkpoints": 1})

        def due() -> dict[str, int | None]:
            return {one["kind"]: one["bytes"] for one in http.get(f"{path}/due").json()["data"]}

        assert due() == {"checkpoints": 4, "resume_states": 2, "exports": 0}
        assert store.listed.count(f"{folder}/") == 1
        add_checkpoints(state.database, id, range(8, 108))
        store.listed.clear()
        assert due() == {"checkpoints": None, "resume_states": 2, "exports": 0}
        assert store.listed.count(f"{folder}/") == len(store.listed) == 1
