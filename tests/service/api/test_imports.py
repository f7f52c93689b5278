"""Adapters that were trained elsewhere become models."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from cluster.contracts.datasets import DatasetCheck
from cluster.contracts.errors import (
    CorruptArtefact,
    InvalidRequest,
    NotFound,
    TuneryError,
    Unavailable,
)
from cluster.contracts.imports import MAX_BYTES, ImportedAdapter, ImportRequest
from cluster.storage.keys import parse_key
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.archiving import archive_project
from service.db.files.files import File
from service.db.models.imports import MAX_PENDING, PendingImport
from service.db.reachable_objects import find_reachable
from service.db.tenancy import Tenant
from service.scheduling.importing import Importer, next_of_each_project
from service.scheduling.scheduler import Dependencies, Scheduler
from tests.api import Project, add_encoder, add_project, import_adapter, import_files, jsonl, with_settings
from tests.fakes import FakeEngine, FakeRayJobs, FakeServing, InlineExecutor

Validate = Callable[[], None]


@pytest.fixture
def serving() -> FakeServing:
    return FakeServing(DatasetCheck(n_examples=1, n_tokens=1, n_supervised_tokens=1, longest=1))


@pytest.fixture
def validate(state: AppState, serving: FakeServing) -> Validate:
    """One round of the scheduler's importer."""
    return Importer(state.database, serving, state.catalogue, InlineExecutor(), timeout_seconds=60).begin


def test_an_imported_adapter_is_a_model_like_any_other(
    http: TestClient, state: AppState, serving: FakeServing, validate: Validate
) -> None:
    created = import_adapter(http, suffix="mine")
    assert (created["status"], created["model"], created["error"]) == ("validating", None, None)
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["base-1"]
    validate()
    done = http.get(f"/v1/models/import/{created['id']}").json()
    assert done["status"] == "succeeded"
    model = done["model"]
    assert model.startswith("ft:base-1:")
    assert ":mine:" in model
    shown = http.get(f"/v1/models/{model}").json()["tunery"]
    assert (shown["job_id"], shown["import_id"], shown["base"]) == (None, created["id"], "base-1")
    assert http.post("/v1/completions", json={"model": model, "prompt": "x"}).json()["model"] == model
    assert isinstance(state.engine, FakeEngine)
    (request,) = state.engine.requests
    assert request.model.adapter is not None
    assert request.model.adapter.manifest_key == f"imports/{created['id']}/manifest.json"
    assert [one.adapter for one in serving.scored] == [request.model.adapter]
    assert [one["id"] for one in http.get("/v1/models/import").json()["data"]] == [created["id"]]
    assert http.delete(f"/v1/models/{model}").json()["deleted"]
    assert http.get(f"/v1/models/{model}").status_code == 404
    validate()
    assert len(serving.imported) == 1


def test_the_scheduler_that_leads_validates_imports(
    http: TestClient, state: AppState, serving: FakeServing
) -> None:
    created = import_adapter(http)
    dependencies = Dependencies(state.database, state.store, FakeRayJobs(), serving, state.catalogue)
    Scheduler(dependencies, state.settings, InlineExecutor(), name="s").tick()
    assert http.get(f"/v1/models/import/{created['id']}").json()["status"] == "succeeded"


def test_a_job_continues_an_imported_adapter_in_its_shape(http: TestClient, validate: Validate) -> None:
    created = import_adapter(http)
    validate()
    model = http.get(f"/v1/models/import/{created['id']}").json()["model"]
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    create: dict[str, Any] = {
        "model": model,
        "training_file": http.post("/v1/files", **upload).json()["id"],
    }
    training = http.post("/v1/fine_tuning/jobs", json=create).json()["tunery"]["training"]
    assert (training["r"], training["alpha"], training["target_modules"]) == (4, 8, ["q_proj"])
    create["training"] = {"from_checkpoint": model, "restore_optimizer": True}
    refused = http.post("/v1/fine_tuning/jobs", json=create).json()["error"]
    assert refused["code"] == "optimizer_state_gone"


def test_an_alias_protects_an_imported_model(http: TestClient, validate: Validate) -> None:
    created = import_adapter(http)
    validate()
    model = http.get(f"/v1/models/import/{created['id']}").json()["model"]
    assert http.post(f"/v1/models/{model}/aliases", json={"alias": "a@prod"}).status_code == 200
    assert http.delete(f"/v1/models/{model}").status_code == 409


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (InvalidRequest("It is DoRA.", code="unsupported_adapter", param="files"), "unsupported_adapter"),
        (InvalidRequest("Layer q_proj has another shape.", param="model"), "invalid_adapter"),
        (CorruptArtefact("Its bytes differ."), "corrupt_artefact"),
        (NotFound("No object 'files/x' in storage."), "file_not_found"),
    ],
)
def test_a_refused_import_says_why_and_makes_no_model(
    http: TestClient, serving: FakeServing, validate: Validate, refusal: TuneryError, code: str
) -> None:
    created = import_adapter(http)
    serving.refusal = refusal
    validate()
    done = http.get(f"/v1/models/import/{created['id']}").json()
    assert (done["status"], done["model"], done["error"]["code"]) == ("failed", None, code)
    assert "files/x" not in done["error"]["message"]
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["base-1"]


def test_an_adapter_with_which_the_engine_computes_no_numbers_is_refused(
    http: TestClient, serving: FakeServing, validate: Validate
) -> None:
    created = import_adapter(http)
    serving.logprobs = lambda row: [float("nan")] * (len(row) - 1)
    validate()
    done = http.get(f"/v1/models/import/{created['id']}").json()
    assert (done["status"], done["error"]["code"]) == ("failed", "invalid_adapter")


def test_faults_of_ours_are_tried_again_a_few_times_and_not_shown(
    http: TestClient, state: AppState, serving: FakeServing, validate: Validate
) -> None:
    created = [import_adapter(http)["id"] for _ in range(2)]

    def shown(id: str) -> dict[str, Any]:
        return http.get(f"/v1/models/import/{id}").json()

    serving.fault = RuntimeError("secret")
    for _ in range(4):
        validate()
        elapse(state, 3)
        assert [shown(id)["status"] for id in created] == ["validating", "validating"]
    validate()
    error = shown(created[0])["error"]
    assert (error["code"], "secret" in error["message"]) == ("internal_error", False)
    serving.fault = None
    elapse(state, 3)
    validate()
    assert shown(created[1])["status"] == "succeeded"


def test_an_import_waits_for_the_cluster_but_not_for_ever(
    http: TestClient, state: AppState, serving: FakeServing
) -> None:
    def tick() -> str:
        """Of a scheduler that was just started: nothing is known but what the database says."""
        Importer(state.database, serving, state.catalogue, InlineExecutor(), timeout_seconds=60).begin()
        return str(http.get(f"/v1/models/import/{created['id']}").json()["status"])

    created = import_adapter(http)
    # It may have waited for its turn.
    with state.database.write() as session:
        session.execute(update(tables.ModelImport).values(created_at=1))
    serving.fault = Unavailable("The model server does not answer.", code="serving_unavailable")
    assert tick() == "validating"
    elapse(state, 30)
    assert tick() == "validating"
    elapse(state, 3600)
    assert tick() == "validating", "the scheduler was not there to try it"
    elapse(state, 61)
    assert tick() == "failed"
    done = http.get(f"/v1/models/import/{created['id']}").json()
    assert done["error"]["code"] == "serving_unavailable"


def elapse(state: AppState, seconds: float) -> None:
    row = tables.ModelImport
    with state.database.write() as session:
        times = {row.waiting_since: row.waiting_since - seconds, row.retry_at: row.retry_at - seconds}
        session.execute(update(row).values(times))


def test_a_project_does_not_wait_for_the_base_of_another(
    http: TestClient, state: AppState, serving: FakeServing
) -> None:
    other = {"authorization": f"Bearer {add_project(state.database).key}"}
    slow, quick = import_adapter(http)["id"], import_adapter(http, other)["id"]
    is_loaded, import_at_once = threading.Event(), serving.import_adapter

    def import_slowly(request: ImportRequest) -> ImportedAdapter:
        if request.import_id == slow:
            assert is_loaded.wait(60)
        return import_at_once(request)

    serving.import_adapter = import_slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(3) as workers:
        importer = Importer(state.database, serving, state.catalogue, workers, timeout_seconds=60)
        try:
            await_status(http, quick, "succeeded", importer.begin, other)
            assert http.get(f"/v1/models/import/{slow}").json()["status"] == "validating"
        finally:
            is_loaded.set()
        await_status(http, slow, "succeeded", importer.begin)
    assert len(serving.imported) == 2


def await_status(
    http: TestClient,
    id: str,
    status: str,
    look: Callable[[], None],
    headers: dict[str, str] | None = None,
) -> None:
    deadline = time.monotonic() + 60
    while http.get(f"/v1/models/import/{id}", headers=headers).json()["status"] != status:
        assert time.monotonic() < deadline
        look()
        time.sleep(0.01)


def test_a_repeated_request_finds_the_import_that_is_under_way(http: TestClient, validate: Validate) -> None:
    created = import_adapter(http)
    again = {"base": "base-1", "files": created["files"][::-1]}
    assert http.post("/v1/models/import", json=again).json()["id"] == created["id"]
    validate()
    assert http.post("/v1/models/import", json=again).json()["id"] != created["id"]


def test_a_project_has_few_imports_under_way(http: TestClient, validate: Validate) -> None:
    created = [import_adapter(http) for _ in range(MAX_PENDING)]
    files = import_files(http)
    refused = http.post("/v1/models/import", json={"base": "base-1", "files": files})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_imports")
    repeated = {"base": "base-1", "files": created[0]["files"]}
    assert http.post("/v1/models/import", json=repeated).json()["id"] == created[0]["id"]
    validate()
    assert http.get(f"/v1/models/import/{created[0]['id']}").json()["status"] == "succeeded"
    assert http.post("/v1/models/import", json={"base": "base-1", "files": files}).status_code == 200


def pending(id: str, project: str, last: float | None) -> PendingImport:
    file = File(
        id="file-1",
        tenant=Tenant("org", project),
        filename="",
        purpose="user_data",
        bytes=1,
        sha256="",
        object_key="files/file-1",
        status="uploaded",
        status_details=None,
        format=None,
        n_examples=None,
        created_at=1,
        expires_at=None,
    )
    return PendingImport(id, project, "base-1", file, file, last)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({}, ["a1", "b1"]),
        ({"a1": 1.0}, ["a2", "b1"]),
        ({"a1": 1.0, "a2": 3.0, "b1": 2.0}, ["a1", "b1"]),
        ({"a1": 3.0, "a2": 4.0, "b1": 2.0}, ["b1", "a1"]),
    ],
)
def test_projects_and_their_imports_take_turns(last: dict[str, float], expected: list[str]) -> None:
    waiting = [pending(id, id[0], last.get(id)) for id in ("a1", "a2", "b1")]
    assert [one.id for one in next_of_each_project(waiting)] == expected


def test_an_archived_project_imports_nothing(
    http: TestClient, state: AppState, serving: FakeServing, validate: Validate
) -> None:
    created = import_adapter(http)
    with state.database.write() as session:
        row = session.get_one(tables.ModelImport, created["id"])
        session.execute(update(tables.ApiKey).values(is_admin_key=False))
        archive_project(session, row.organization_id, row.project_id)
    validate()
    with state.database.read() as session:
        row = session.get_one(tables.ModelImport, created["id"])
        assert (row.status, (row.error or {})["code"]) == ("failed", "project_archived")
    assert serving.imported == []


def test_the_operator_sets_how_large_weights_may_be(state: AppState, project: Project) -> None:
    limited = with_settings(state, max_import_bytes=1)
    app = create_app(limited.settings, open_state=lambda _: limited)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        body = {"base": "base-1", "files": import_files(client)}
        error = client.post("/v1/models/import", json=body).json()["error"]
    assert (error["code"], error["message"]) == (
        "invalid_adapter",
        "adapter_model.safetensors has 2 bytes; at most 1 are read.",
    )


@pytest.mark.parametrize("name", MAX_BYTES)
def test_files_that_are_too_large_are_refused_at_once(http: TestClient, state: AppState, name: str) -> None:
    files = import_files(http)
    with state.database.write() as session:
        session.execute(
            update(tables.File).where(tables.File.filename == name).values(bytes=MAX_BYTES[name] + 1)
        )
    refused = http.post("/v1/models/import", json={"base": "base-1", "files": files})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_adapter")
    assert name in refused.json()["error"]["message"]


def test_its_files_cannot_be_deleted_while_it_is_under_way(http: TestClient, validate: Validate) -> None:
    created = import_adapter(http)
    for file in created["files"]:
        refused = http.delete(f"/v1/files/{file}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "file_in_use")
    validate()
    assert [http.delete(f"/v1/files/{file}").status_code for file in created["files"]] == [200, 200]


@pytest.mark.parametrize(
    "names",
    [
        ("adapter_config.json", "adapter_model.bin"),
        ("adapter_config.json", "adapter_config.json"),
        ("adapter_config.json", "adapter.zip"),
        ("adapter_config.json", "../adapter_model.safetensors"),
    ],
)
def test_only_the_two_files_of_an_adapter_are_taken(http: TestClient, names: tuple[str, str]) -> None:
    files = [
        http.post("/v1/files", files={"file": (name, b"{}")}, data={"purpose": "user_data"}).json()["id"]
        for name in names
    ]
    refused = http.post("/v1/models/import", json={"base": "base-1", "files": files})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_adapter")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"base": "absent"}, "base"),
        ({"files": []}, "files"),
        ({"files": ["file-absent", "file-gone"]}, "files"),
        ({"suffix": "a/b"}, "suffix"),
        ({"files": ["file-\0", "file-gone"]}, None),
        ({"path": "/etc"}, "path"),
    ],
)
def test_what_cannot_be_imported_is_refused_at_once(
    http: TestClient, changes: dict[str, object], param: str | None
) -> None:
    body = {"base": "base-1", "files": import_adapter(http)["files"], **changes}
    refused = http.post("/v1/models/import", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_body_with_half_a_character_is_refused(http: TestClient) -> None:
    body = '{"base": "base-1", "files": ["file-\\ud800", "file-gone"]}'
    refused = http.post("/v1/models/import", content=body, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")


def test_encoders_take_no_adapters(http: TestClient, state: AppState) -> None:
    body = {"base": add_encoder(state), "files": ["file-a", "file-b"]}
    refused = http.post("/v1/models/import", json=body)
    assert refused.json()["error"]["code"] == "unsupported_adapter"


def test_a_sweep_keeps_an_imports_objects_for_as_long_as_somebody_needs_them(
    http: TestClient, state: AppState, serving: FakeServing, validate: Validate
) -> None:
    created = import_adapter(http)
    place = parse_key(f"imports/{created['id']}/adapter_model.safetensors")
    assert place is not None
    places = [place]

    def is_kept() -> bool:
        with state.database.read() as session:
            return find_reachable(session, places).contains(places[0])

    assert is_kept(), "the cluster may be storing it"
    validate()
    assert is_kept(), "it is a model's"
    model = http.get(f"/v1/models/import/{created['id']}").json()["model"]
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    create = {"model": model, "training_file": http.post("/v1/files", **upload).json()["id"]}
    job = http.post("/v1/fine_tuning/jobs", json=create).json()["id"]
    http.delete(f"/v1/models/{model}")
    assert is_kept(), "a job starts from it"
    http.post(f"/v1/fine_tuning/jobs/{job}/cancel")
    assert not is_kept()
    refused = import_adapter(http)
    serving.refusal = InvalidRequest("no")
    validate()
    place = parse_key(f"imports/{refused['id']}/manifest.json")
    assert place is not None
    assert not is_kept()
