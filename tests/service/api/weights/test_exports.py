"""Exports of tuned models: made by the cluster, followed by the scheduler, downloaded like other weights."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from cluster.contracts.datasets import DatasetCheck
from cluster.contracts.errors import (
    CorruptArtefact,
    InvalidRequest,
    NotFound,
    TuneryError,
    Unavailable,
)
from cluster.contracts.exports import ExportProgress
from cluster.storage.keys import parse_key
from service.api.state import AppState
from service.db import tables
from service.db.archiving import archive_project
from service.db.limits.quota_use import stored_bytes
from service.db.models.exports import MAX_PENDING, note_progress
from service.db.organization.audit_log import AuditFilter, AuditLog
from service.db.retention.rules import RetentionRules
from service.scheduling.exporting import Exporter
from service.scheduling.scheduler import Dependencies, Scheduler
from service.scheduling.sweeping.sweep import SweepOptions, sweep
from tests.api import Project, add_project, jsonl
from tests.fakes import FakeRayJobs, FakeServing, InlineExecutor
from tests.service.api.weights.exporting import CONTENT, Cluster
from tests.service.api.weights.stored import add_stored_model

WEEK = 7 * 86_400


@pytest.fixture
def serving() -> FakeServing:
    return FakeServing(DatasetCheck(n_examples=1, n_tokens=1, n_supervised_tokens=1, longest=1))


@pytest.fixture
def cluster(state: AppState, serving: FakeServing) -> Cluster:
    return Cluster(state, serving)


@pytest.fixture
def follow(state: AppState, serving: FakeServing) -> Callable[[], None]:
    """One round of a new scheduler's exporter: no round needs what an earlier one knew."""

    def run() -> None:
        Exporter(
            state.database,
            serving,
            state.catalogue,
            InlineExecutor(),
            limits=state.settings.project_limits,
            retention=RetentionRules({"exports": 7}),
            timeout_seconds=60,
        ).begin()

    return run


@pytest.fixture
def job_id(http: TestClient) -> str:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    created = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id})
    return created.json()["id"]


@pytest.fixture
def model(state: AppState, job_id: str) -> str:
    return add_stored_model(state, job_id)[0]


def create(http: TestClient, model: str, **body: Any) -> dict[str, Any]:
    answer = http.post(f"/v1/models/{model}/exports", json={"format": "gguf", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def status(http: TestClient, export: dict[str, Any]) -> dict[str, Any]:
    return http.get(f"/v1/exports/{export['id']}").json()


def test_an_export_is_queued_and_made_and_downloaded(
    http: TestClient, model: str, cluster: Cluster, serving: FakeServing, follow: Callable[[], None]
) -> None:
    url = f"/v1/models/{model}/weights?format=gguf"
    missing = http.get(url)
    assert (missing.status_code, missing.json()["error"]["code"]) == (409, "export_not_ready")
    assert missing.headers["x-should-retry"] == "false"
    created = create(http, model)
    assert (created["status"], created["bytes"]) == ("queued", {"done": 0, "total": None})
    assert (created["format"], created["quantization"], created["expires_at"]) == ("gguf", "f16", None)
    follow()
    assert status(http, created) == created
    cluster.progress = ExportProgress(done_bytes=10, total_bytes=len(CONTENT))
    follow()
    running = status(http, created)
    assert (running["status"], running["bytes"]) == ("running", {"done": 10, "total": len(CONTENT)})
    assert created["id"] in http.get(url).json()["error"]["message"]
    cluster.is_done = True
    follow()
    done = status(http, created)
    assert (done["status"], done["error"]) == ("succeeded", None)
    assert done["expires_at"] == done["finished_at"] + WEEK
    requests = len(serving.exported)
    follow()
    assert len(serving.exported) == requests
    listed = http.get(url).json()
    assert (listed["form"], [file["filename"] for file in listed["files"]]) == (
        "gguf",
        ["README.md", "model-f16.gguf"],
    )
    file = f"/v1/models/{model}/weights/model-f16.gguf?format=gguf"
    answer = http.get(file, headers={"range": "bytes=100-"})
    assert (answer.status_code, answer.content) == (206, CONTENT[100:])
    assert answer.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    with tarfile.open(fileobj=io.BytesIO(http.get(f"{url}&archive=tar").content)) as archive:
        assert len(archive.getnames()) == 2
    card = http.get(f"/v1/models/{model}/weights/README.md?format=gguf").text
    assert "llama-server" in card
    assert "library_name: gguf" in card
    assert http.get(f"/v1/models/{model}/weights/model-f16.gguf").status_code == 404
    assert [one["id"] for one in http.get(f"/v1/models/{model}/exports").json()["data"]] == [done["id"]]


def test_the_scheduler_that_leads_follows_exports(
    http: TestClient, state: AppState, model: str, cluster: Cluster, serving: FakeServing
) -> None:
    cluster.is_done = True
    created = create(http, model, format="merged")
    dependencies = Dependencies(state.database, state.store, FakeRayJobs(), serving, state.catalogue)
    Scheduler(dependencies, state.settings, InlineExecutor(), name="s").tick()
    assert status(http, created)["status"] == "succeeded"
    assert http.get(f"/v1/models/{model}/weights?format=merged").json()["form"] == "full"
    (request,) = serving.exported
    assert (request.format, request.quantization, request.base.alias) == ("merged", None, "base-1")


def test_the_same_export_is_made_once_and_kept_for_longer_when_asked_for_again(
    http: TestClient, state: AppState, model: str, cluster: Cluster, follow: Callable[[], None]
) -> None:
    first = create(http, model)
    assert create(http, model, quantization="f16")["id"] == first["id"]
    assert create(http, model, quantization="q8_0")["id"] != first["id"]
    assert create(http, model, format="merged")["id"] != first["id"]
    cluster.is_done = True
    follow()
    with state.database.write() as session:
        row = session.get_one(tables.ModelExport, first["id"])
        assert row.finished_at is not None
        soon = row.expires_at = row.finished_at + 60
    again = create(http, model)
    assert (again["id"], again["status"]) == (first["id"], "succeeded")
    assert again["expires_at"] > soon


def test_a_failed_export_says_why_and_another_try_is_a_new_one(
    http: TestClient, model: str, cluster: Cluster, serving: FakeServing, follow: Callable[[], None]
) -> None:
    first = create(http, model)
    serving.refusal = InvalidRequest("Its base is a mamba.", code="format_not_available", param="format")
    follow()
    failed = status(http, first)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "format_not_available")
    answer = http.get(f"/v1/models/{model}/weights?format=gguf").json()["error"]
    assert (answer["code"], "mamba" in answer["message"]) == ("export_not_ready", True)
    serving.refusal = None
    cluster.is_done = True
    assert create(http, model)["id"] != first["id"]
    follow()
    assert http.get(f"/v1/models/{model}/weights?format=gguf").status_code == 200


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(CorruptArtefact("Bytes differ."), "corrupt_artefact"), (NotFound("jobs/x"), "corrupt_artefact")],
)
def test_weights_that_are_gone_fail_it(
    http: TestClient,
    model: str,
    cluster: Cluster,
    serving: FakeServing,
    follow: Callable[[], None],
    refusal: TuneryError,
    code: str,
) -> None:
    created = create(http, model)
    serving.refusal = refusal
    follow()
    error = status(http, created)["error"]
    assert (error["code"], "jobs/" in error["message"]) == (code, False)


def test_faults_of_ours_are_tried_again_a_few_times_and_not_shown(
    http: TestClient,
    state: AppState,
    model: str,
    cluster: Cluster,
    serving: FakeServing,
    follow: Callable[[], None],
) -> None:
    created = create(http, model)
    serving.fault = RuntimeError("secret")
    for seconds in (3, 5):
        follow()
        assert status(http, created)["status"] == "queued"
        elapse(state, -60)
        follow()
        assert status(http, created)["status"] == "queued", "it is not due yet"
        elapse(state, 60 + seconds)
    follow()
    error = status(http, created)["error"]
    assert (error["code"], "secret" in error["message"]) == ("internal_error", False)


def test_it_waits_for_the_cluster_but_not_for_ever_however_often_the_scheduler_restarts(
    http: TestClient, state: AppState, model: str, serving: FakeServing, follow: Callable[[], None]
) -> None:
    created = create(http, model)
    fault = Unavailable("The model server does not answer.", code="serving_unavailable")
    serving.fault = fault
    for _ in range(2):
        follow()
        assert status(http, created)["status"] == "queued"
        elapse(state, 40)
    serving.fault = None
    follow()
    serving.fault = fault
    for _ in range(2):
        follow()
        assert status(http, created)["status"] == "queued", "an answer in between begins the wait anew"
        elapse(state, 40)
    follow()
    assert status(http, created)["error"]["code"] == "serving_unavailable"


def test_an_export_that_begins_anew_and_fails_at_the_same_place_waits_not_for_ever(
    http: TestClient, state: AppState, model: str, serving: FakeServing, follow: Callable[[], None]
) -> None:
    created = create(http, model)
    fault = Unavailable("Storage does not answer.", code="storage_unavailable")
    reached = iter([50, 60, 60, 60])
    for _ in range(3):
        with state.database.write() as session:
            note_progress(session, created["id"], ExportProgress(done_bytes=next(reached), total_bytes=100))
        serving.fault = fault
        follow()
        assert status(http, created)["status"] == "running"
        elapse(state, 40)
        with state.database.write() as session:
            note_progress(session, created["id"], ExportProgress(done_bytes=10, total_bytes=100))
        assert status(http, created)["bytes"]["done"] >= 50
        elapse(state, 2)
    follow()
    assert status(http, created)["error"]["code"] == "storage_unavailable"


def elapse(state: AppState, seconds: float) -> None:
    row = tables.ModelExport
    with state.database.write() as session:
        times = {row.waiting_since: row.waiting_since - seconds, row.retry_at: row.retry_at - seconds}
        session.execute(update(row).values(times))


def test_what_cannot_be_exported_is_refused_by_name(http: TestClient, state: AppState, job_id: str) -> None:
    model, _ = add_stored_model(state, job_id, {"prefix.safetensors": b"x"}, form="prefix")
    for format in ("merged", "gguf"):
        for answer in (
            http.post(f"/v1/models/{model}/exports", json={"format": format}),
            http.get(f"/v1/models/{model}/weights?format={format}"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "format_not_available")
            assert "prefix" in answer.json()["error"]["message"]
    assert http.post("/v1/models/base-1/exports", json={"format": "gguf"}).status_code == 403
    bodies: list[tuple[dict[str, Any], str]] = [
        ({"format": "merged", "quantization": "f16"}, "invalid_parameter_combination"),
        ({"format": "original"}, "invalid_value"),
        ({"format": "gguf", "quantization": "q2_k"}, "invalid_value"),
        ({}, "missing_required_parameter"),
        ({"format": "gguf", "path": "/etc"}, "unknown_parameter"),
    ]
    for body, code in bodies:
        answer = http.post(f"/v1/models/{model}/exports", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_project_has_few_exports_under_way(http: TestClient, state: AppState, model: str) -> None:
    first = create(http, model)
    for body in ({"quantization": "bf16"}, {"quantization": "q8_0"}, {"format": "merged"}):
        create(http, model, **body)
    assert MAX_PENDING == 4
    with state.database.write() as session:
        checkpoint = session.scalars(select(tables.Checkpoint)).one()
        checkpoint.manifest_sha256, name = "9" * 64, checkpoint.model_name
    refused = http.post(f"/v1/models/{name}/exports", json={"format": "gguf"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_exports")
    assert create(http, model)["id"] == first["id"]
    assert http.delete(f"/v1/exports/{first['id']}").json()["deleted"]
    assert create(http, name)["status"] == "queued"


def test_exports_count_as_stored_bytes_and_obey_the_projects_quota(
    http: TestClient,
    state: AppState,
    project: Project,
    model: str,
    cluster: Cluster,
    follow: Callable[[], None],
) -> None:
    created = create(http, model)
    with state.database.write() as session:
        before = stored_bytes(session, project.tenant)
        limit = before + len(CONTENT) - 1
        session.add(
            tables.Limit(subject_id=project.tenant.project_id, model="", name="stored_bytes", value=limit)
        )
    cluster.progress = ExportProgress(done_bytes=0, total_bytes=len(CONTENT))
    follow()
    assert status(http, created)["error"]["code"] == "exceeded_quota"
    with state.database.write() as session:
        session.execute(update(tables.Limit).values(value=limit + 1))
    again = create(http, model)
    follow()
    assert status(http, again)["status"] == "running"
    with state.database.read() as session:
        assert stored_bytes(session, project.tenant) == before + len(CONTENT), "reserved from the beginning"
    assert http.delete(f"/v1/exports/{again['id']}").status_code == 200
    with state.database.read() as session:
        assert stored_bytes(session, project.tenant) == before


@pytest.mark.parametrize("end", ["deleted", "expired", "model deleted", "project archived"])
def test_it_and_its_objects_last_until_it_or_its_model_is_gone(
    http: TestClient,
    state: AppState,
    model: str,
    cluster: Cluster,
    follow: Callable[[], None],
    project: Project,
    end: str,
) -> None:
    created = create(http, model)
    cluster.is_done = True
    follow()

    def objects() -> int:
        sweep(state.database, state.store, SweepOptions(grace_seconds=-60, resume_state_seconds=0))
        return len(list(state.store.list("exports/")))

    assert objects() == 2
    with state.database.write() as session:
        row = session.get_one(tables.ModelExport, created["id"])
        if end == "expired":
            row.expires_at = 1
        elif end == "project archived":
            session.execute(update(tables.ApiKey).values(is_admin_key=False))
            archive_project(session, row.organization_id, row.project_id)
    if end == "deleted":
        assert http.delete(f"/v1/exports/{created['id']}").json() == {
            "object": "model.export", "id": created["id"], "deleted": True,
        }  # fmt: skip
    elif end == "model deleted":
        assert http.delete(f"/v1/models/{model}").json()["deleted"]
    if end != "project archived":
        assert http.get(f"/v1/exports/{created['id']}").status_code == 404
        assert http.get(f"/v1/models/{model}/weights?format=gguf").status_code in (404, 409)
    assert objects() == 0
    with state.database.read() as session:
        assert session.get_one(tables.ModelExport, created["id"]).deleted_at is not None
        log = AuditLog(session, project.tenant.organization_id)
        (entry,) = log.page(AuditFilter(event_types=["export.deleted"])).data
        assert entry["export.deleted"] == {"id": created["id"]}


def test_an_export_whose_model_is_deleted_is_not_made_any_further(
    http: TestClient, model: str, cluster: Cluster, serving: FakeServing, follow: Callable[[], None]
) -> None:
    create(http, model)
    follow()
    assert http.delete(f"/v1/models/{model}").json()["deleted"]
    follow()
    assert len(serving.exported) == 1


def test_objects_of_an_export_that_is_being_made_are_kept_and_of_a_failed_one_not(
    http: TestClient,
    state: AppState,
    model: str,
    cluster: Cluster,
    serving: FakeServing,
    follow: Callable[[], None],
) -> None:
    created = create(http, model)
    key = f"exports/{created['id']}/model.safetensors"
    assert parse_key(key) is not None
    state.store.put(key, b"half")
    options = SweepOptions(grace_seconds=-60, resume_state_seconds=0)
    assert "exports" not in sweep(state.database, state.store, options).removed
    serving.refusal = InvalidRequest("No.", code="format_not_available")
    follow()
    assert sweep(state.database, state.store, options).removed["exports"].objects == 1
    assert status(http, created)["status"] == "failed", "the reason stays"


def test_a_project_that_a_model_is_shared_with_exports_it_for_itself(
    http: TestClient, state: AppState, project: Project, model: str, cluster: Cluster
) -> None:
    other = add_project(state.database, organization_id=project.tenant.organization_id)
    theirs = {"authorization": f"Bearer {other.key}"}
    body = {"format": "gguf"}
    assert http.post(f"/v1/models/{model}/exports", json=body, headers=theirs).status_code == 404
    with state.database.write() as session:
        session.add(
            tables.CheckpointPermission(
                id="cp_1", model_id=model, project_id=other.tenant.project_id, created_at=1
            )
        )
    shared = http.post(f"/v1/models/{model}/exports", json=body, headers=theirs).json()
    assert create(http, model)["id"] != shared["id"]
    assert http.get(f"/v1/exports/{shared['id']}").status_code == 404
