"""Keys of storage: the operator gives one to a project, and what is written for it is encrypted with it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cluster.storage.keys import file_key, part_key
from service.api.app import create_app
from service.api.state import AppState
from service.db.organization.api_keys import ApiKeys
from service.db.retention.rules import RetentionRules
from service.scheduling.exporting import Exporter
from service.scheduling.importing import Importer
from tests.api import (
    LiveApi,
    Project,
    add_admin_key,
    add_project,
    add_tuned_model,
    import_adapter,
    jsonl,
)
from tests.fakes import CHECK, FakeEngine, FakeServing, InlineExecutor
from tests.keyed_store import KEY, OTHER_KEY, KeyedStore
from tests.service.cli.running import run_tunery


@pytest.fixture
def store(tmp_path: Path) -> KeyedStore:
    return KeyedStore(tmp_path / "objects")


@pytest.fixture
def keyed(state: AppState, store: KeyedStore) -> AppState:
    return replace(state, store=store)


@pytest.fixture
def http(keyed: AppState, project: Project) -> Iterator[TestClient]:
    app = create_app(keyed.settings, open_state=lambda _: keyed)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        yield client


@pytest.fixture
def operator(state: AppState) -> dict[str, str]:
    with state.database.write() as session:
        return {"authorization": f"Bearer {ApiKeys(session).ensure_admin(None)}"}


def place(project: Project) -> str:
    return (
        f"/v1/organizations/{project.tenant.organization_id}/projects/{project.tenant.project_id}/encryption"
    )


def own_place(project: Project) -> str:
    return f"/v1/organization/projects/{project.tenant.project_id}/encryption"


def admin_of(state: AppState, project: Project) -> dict[str, str]:
    return {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}


def upload(http: TestClient, headers: dict[str, str] | None = None) -> str:
    body = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    id: str = http.post("/v1/files", headers=headers, **body).json()["id"]
    return id


def upload_in_parts(http: TestClient) -> tuple[str, str, str]:
    """Returns the ids of the upload, of its part and of its file."""
    announced = {"bytes": len(jsonl()), "filename": "b.jsonl", "mime_type": "text/jsonl"}
    begun = http.post("/v1/uploads", json=announced | {"purpose": "fine-tune"}).json()["id"]
    part = http.post(f"/v1/uploads/{begun}/parts", files={"data": jsonl()}).json()["id"]
    done = http.post(f"/v1/uploads/{begun}/complete", json={"part_ids": [part]}).json()
    return begun, part, done["file"]["id"]


def test_what_is_written_for_a_project_is_encrypted_with_its_key(
    http: TestClient, keyed: AppState, store: KeyedStore, project: Project, operator: dict[str, str]
) -> None:
    before = upload(http)
    given = http.post(place(project), headers=operator, json={"key": KEY})
    assert given.json() == {"object": "project.encryption", "id": project.tenant.project_id, "key": KEY}
    neighbour = add_project(keyed.database, organization_id=project.tenant.organization_id)
    after = upload(http)
    begun, part, joined = upload_in_parts(http)
    others = upload(http, {"authorization": f"Bearer {neighbour.key}"})
    assert {store.keys[key] for key in (file_key(after), file_key(joined), part_key(begun, part))} == {KEY}
    assert {store.keys[file_key(id)] for id in (before, others)} == {None}
    assert http.get(f"/v1/files/{before}/content").content == jsonl()
    assert http.delete(place(project), headers=operator).json()["key"] is None
    assert store.keys[file_key(upload(http))] is None


def test_the_cluster_is_told_the_key_of_the_project_that_asks(
    http: TestClient, keyed: AppState, project: Project, operator: dict[str, str]
) -> None:
    assert isinstance(keyed.engine, FakeEngine)
    file_id = upload(http)
    body = {"model": "base-1", "training_file": file_id}
    for _ in range(2):
        assert http.post("/v1/fine_tuning/jobs/estimate", json=body).status_code == 200
        assert http.get(f"/v1/files/{file_id}/report").status_code == 200
        http.post(place(project), headers=operator, json={"key": KEY})
    assert [request.encryption_key for request in keyed.engine.checked] == [None, KEY]
    assert [request.encryption_key for request in keyed.engine.reported] == [None, KEY]


def test_an_import_and_an_export_are_told_the_key_of_the_project_that_asks(
    http: TestClient, keyed: AppState, project: Project, operator: dict[str, str]
) -> None:
    http.post(place(project), headers=operator, json={"key": KEY})
    serving = FakeServing(CHECK)
    create = {"model": "base-1", "training_file": upload(http)}
    job_id = http.post("/v1/fine_tuning/jobs", json=create).json()["id"]
    model, _ = add_tuned_model(keyed.database, job_id)
    import_adapter(http)
    http.post(f"/v1/models/{model}/exports", json={"format": "gguf"})
    workers = InlineExecutor()
    Importer(keyed.database, serving, keyed.catalogue, workers, timeout_seconds=60).begin()
    Exporter(
        keyed.database, serving, keyed.catalogue, workers,
        limits={}, retention=RetentionRules(), timeout_seconds=60,
    ).begin()  # fmt: skip
    assert [one.encryption_key for one in serving.imported] == [KEY]
    assert [one.encryption_key for one in serving.exported] == [KEY]


def test_only_the_operator_gives_keys_and_the_projects_admins_see_them(
    http: TestClient, keyed: AppState, project: Project, operator: dict[str, str]
) -> None:
    admin, stranger = admin_of(keyed, project), admin_of(keyed, add_project(keyed.database))
    for headers in (None, admin, stranger):
        for method, json in (("GET", None), ("POST", {"key": OTHER_KEY}), ("DELETE", None)):
            refused = http.request(method, place(project), headers=headers, json=json)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "operators_key_required")
    assert http.post(place(project), headers=operator, json={"key": KEY}).status_code == 200
    assert http.get(place(project), headers=operator).json()["key"] == KEY
    assert http.get(own_place(project), headers=admin).json()["key"] == KEY
    assert http.get(own_place(project)).json()["error"]["code"] == "admin_key_required"
    never = http.get(own_place(project).replace(project.tenant.project_id, "proj_absent"), headers=stranger)
    hidden = http.get(own_place(project), headers=stranger)
    assert hidden.status_code == never.status_code == 404
    assert hidden.text.replace(project.tenant.project_id, "proj_absent") == never.text


def test_a_project_is_found_in_its_own_organization_alone(
    http: TestClient, keyed: AppState, project: Project, operator: dict[str, str]
) -> None:
    other = add_project(keyed.database)
    mixed = place(Project(replace(project.tenant, organization_id=other.tenant.organization_id), ""))
    for path in (mixed, place(Project(replace(project.tenant, organization_id="org-absent"), ""))):
        for method, json in (("GET", None), ("POST", {"key": KEY}), ("DELETE", None)):
            assert http.request(method, path, headers=operator, json=json).status_code == 404
    assert http.get(place(project), headers=operator).json()["key"] is None


@pytest.mark.parametrize(
    "key", ["", "alias/mine", "arn:aws:kms:eu-central-1:111122223333:alias/mine", "a key", "../x", "x" * 513]
)
def test_what_names_no_key_is_refused(
    http: TestClient, project: Project, operator: dict[str, str], key: str
) -> None:
    refused = http.post(place(project), headers=operator, json={"key": key})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "key")


def test_a_key_that_storage_does_not_use_is_not_given(
    http: TestClient, store: KeyedStore, project: Project, operator: dict[str, str]
) -> None:
    store.refused.add(KEY)
    refused = http.post(place(project), headers=operator, json={"key": KEY})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "encryption_key_refused", "key")
    assert "KMS.NotFoundException" in error["message"]
    assert http.get(place(project), headers=operator).json()["key"] is None


def test_a_folder_has_no_keys(state: AppState, project: Project, operator: dict[str, str]) -> None:
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers=operator) as http:
        refused = http.post(place(project), json={"key": KEY})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "encryption_unsupported")
        assert http.get(place(project)).json()["key"] is None
    assert list(state.store.list()) == []


def test_the_projects_audit_log_tells_of_its_key(
    http: TestClient, keyed: AppState, project: Project, operator: dict[str, str]
) -> None:
    http.post(place(project), headers=operator, json={"key": KEY})
    http.delete(place(project), headers=operator)
    log = http.get("/v1/organization/audit_logs", headers=admin_of(keyed, project)).json()["data"]
    entries: list[dict[str, Any]] = [entry for entry in log if "encryption" in entry["type"]]
    assert [entry["type"] for entry in entries] == [
        "project.encryption.deleted",
        "project.encryption.updated",
    ]
    changed = entries[1]["project.encryption.updated"]
    assert changed == {"id": project.tenant.project_id, "changes_requested": {"key": KEY}}


def test_the_command_shows_gives_and_removes_a_key(
    live: LiveApi, store: KeyedStore, operator: dict[str, str]
) -> None:
    object.__setattr__(live.state, "store", store)
    key = operator["authorization"].removeprefix("Bearer ")
    ids = [live.project.tenant.organization_id, live.project.tenant.project_id]

    def run(*options: str) -> str:
        done = run_tunery(live, "organizations", "encryption", *ids, *options, key=key)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    assert "KEY\tnone" in run()
    assert f"KEY\t{KEY}" in run("--key", KEY)
    admin = add_admin_key(live.state.database, live.project.tenant)
    shown = run_tunery(live, "projects", "encryption", ids[1], key=admin)
    assert f"KEY\t{KEY}" in shown.stdout
    assert "KEY\tnone" in run("--remove")
    both = run_tunery(live, "organizations", "encryption", *ids, "--remove", "--key", KEY, key=key)
    assert both.exit_code == 2
