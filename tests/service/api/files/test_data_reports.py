"""`/v1/files/{file_id}/report`, with a cluster that answers what each test wants."""

import json

import httpx2
import pytest
from starlette.testclient import TestClient

from cluster.contracts.data_report import DataReport, Finding, FindingPlace
from cluster.contracts.errors import CorruptArtefact, Unavailable
from service.api.state import AppState
from tests.api import LiveApi, add_project, jsonl
from tests.fakes import FakeEngine

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

REPORT = DataReport(
    rules_version=1,
    format="chat",
    n_lines=12,
    n_examples=11,
    errors=[
        Finding(
            code="invalid_json",
            severity="error",
            title="t",
            remedy="r",
            count=1,
            places=[FindingPlace(line=3, column=7)],
        )
    ],
    warnings=[
        Finding(
            code="iban", severity="warning", title="t", remedy="r", count=70, places=[FindingPlace(line=1)]
        ),
    ],
)


def engine_of(state: AppState) -> FakeEngine:
    assert isinstance(state.engine, FakeEngine)
    return state.engine


def upload(
    http: TestClient, content: bytes | None = None, purpose: str = "fine-tune", **options: dict[str, str]
) -> str:
    file = ("a.jsonl", jsonl() if content is None else content)
    answer = http.post("/v1/files", files={"file": file}, data={"purpose": purpose}, **options)
    assert answer.status_code == 200, answer.text
    file_id: str = answer.json()["id"]
    return file_id


@on_sqlite
def test_errors_and_warnings_come_apart_with_their_places(http: TestClient, state: AppState) -> None:
    engine_of(state).report = REPORT
    file_id = upload(http)
    answer = http.get(f"/v1/files/{file_id}/report")
    assert answer.status_code == 200
    report = answer.json()
    assert (report["object"], report["file_id"], report["status"]) == ("file.report", file_id, "completed")
    assert [(one["code"], one["count"]) for one in report["errors"]] == [("invalid_json", 1)]
    assert (report["errors"][0]["places"][0]["line"], report["errors"][0]["places"][0]["column"]) == (3, 7)
    assert [(one["code"], one["count"]) for one in report["warnings"]] == [("iban", 70)]


@on_sqlite
def test_a_broken_file_has_a_report_too(http: TestClient, state: AppState) -> None:
    file_id = upload(http, b"{\n")
    assert http.get(f"/v1/files/{file_id}").json()["status"] == "error"
    assert http.get(f"/v1/files/{file_id}/report").status_code == 200


@on_sqlite
def test_the_cluster_is_asked_for_stored_bytes_and_the_base_of_the_model(
    http: TestClient, state: AppState
) -> None:
    first, second = upload(http), upload(http, jsonl(3))
    answer = http.get(f"/v1/files/{first}/report", params={"validation_file": second, "model": "base-1"})
    assert (answer.json()["validation_file"], answer.json()["model"]) == (second, "base-1")
    (request,) = engine_of(state).reported
    assert state.store.get(request.file.key) == jsonl()
    assert request.validation is not None
    assert state.store.get(request.validation.key) == jsonl(3)
    assert request.base == state.catalogue["base-1"]
    http.get(f"/v1/files/{first}/report", params={"validation_file": "", "model": ""})
    assert engine_of(state).reported[-1].validation is engine_of(state).reported[-1].base is None


@on_sqlite
@pytest.mark.parametrize("code", ["dataset_not_ready", "model_not_ready"])
def test_while_the_report_is_made_the_answer_says_so_and_when_to_ask_again(
    http: TestClient, state: AppState, code: str
) -> None:
    engine_of(state).refusal = Unavailable("Being made.", code=code, retry_after_seconds=3.0)
    answer = http.get(f"/v1/files/{upload(http)}/report")
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "3")
    assert answer.json()["status"] == "in_progress"
    assert answer.json()["errors"] == answer.json()["warnings"] == []
    assert answer.json()["n_lines"] is None


@on_sqlite
def test_faults_of_the_cluster_are_errors(http: TestClient, state: AppState) -> None:
    file_id = upload(http)
    engine_of(state).refusal = Unavailable("The model server does not answer.")
    assert http.get(f"/v1/files/{file_id}/report").status_code == 503
    engine_of(state).refusal = CorruptArtefact("changed")
    assert http.get(f"/v1/files/{file_id}/report").status_code == 500


@on_sqlite
def test_other_purposes_and_unknown_models_are_refused(http: TestClient) -> None:
    other = upload(http, purpose="user_data")
    answer = http.get(f"/v1/files/{other}/report")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file_id")
    mine = upload(http)
    answer = http.get(f"/v1/files/{mine}/report", params={"model": "gpt-none"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    answer = http.get(f"/v1/files/{mine}/report", params={"validation_file": other})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "validation_file")


def test_another_projects_validation_file_seems_absent(http: TestClient, state: AppState) -> None:
    stranger = add_project(state.database)
    theirs = upload(http, headers={"authorization": f"Bearer {stranger.key}"})
    mine = upload(http)
    answer = http.get(f"/v1/files/{mine}/report", params={"validation_file": theirs})
    absent = http.get(f"/v1/files/{mine}/report", params={"validation_file": "file-absent"})
    assert answer.status_code == absent.status_code == 404
    assert answer.text.replace(theirs, "file-absent") == absent.text
    assert engine_of(state).reported == []


@on_sqlite
def test_the_openai_sdk_reads_a_report(live: LiveApi) -> None:
    live.engine.report = REPORT
    file_id = live.upload()
    response = live.openai().get(f"/files/{file_id}/report", cast_to=httpx2.Response)
    assert json.loads(response.content)["warnings"][0]["count"] == 70


@on_sqlite
def test_a_jobs_report_is_of_its_files_and_base(http: TestClient, state: AppState) -> None:
    training, validation = upload(http), upload(http, jsonl(3))
    body = {"model": "base-1", "training_file": training, "validation_file": validation}
    job = http.post("/v1/fine_tuning/jobs", json=body).json()["id"]
    answer = http.get(f"/v1/fine_tuning/jobs/{job}/report")
    assert answer.status_code == 200
    names = ("file_id", "validation_file", "model")
    assert [answer.json()[name] for name in names] == [training, validation, "base-1"]
    (request,) = engine_of(state).reported
    assert request.base == state.catalogue["base-1"]
    assert request.validation is not None
