"""Every refusal has OpenAI's error body."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from cluster.contracts.errors import InternalError, Overloaded, RateLimited, Unavailable
from service.api.app import create_app
from service.api.http.errors import response_of
from service.api.state import AppState
from service.db.database import Database
from tests.api import Project
from tests.databases import on_both_databases
from tests.fakes import FakeEngine

WRONG_JOBS: list[tuple[Any, str | None, str]] = [
    ({"training_file": "f"}, "model", "missing_required_parameter"),
    ({"model": "base-1"}, "training_file", "missing_required_parameter"),
    ({"model": 7, "training_file": "f"}, "model", "invalid_type"),
    ({"model": "base-1", "training_file": "f", "sufix": "x"}, "sufix", "unknown_parameter"),
    ({"model": "base-1", "training_file": "f", "suffix": ""}, "suffix", "empty_string"),
    ({"model": "base-1", "training_file": "f", "suffix": "a:b"}, "suffix", "invalid_value"),
    ({"model": "base-1", "training_file": "f", "suffix": "x" * 65}, "suffix", "string_above_max_length"),
    ({"model": "base-1", "training_file": "f", "seed": -1}, "seed", "integer_below_min_value"),
    ({"model": "base-1", "training_file": "f", "seed": 2**31}, "seed", "integer_above_max_value"),
    ({"model": "base-1", "training_file": "f", "metadata": {"k": 1}}, "metadata.k", "invalid_type"),
    (
        {"model": "base-1", "training_file": "f", "metadata": {f"k{i}": "v" for i in range(17)}},
        "metadata",
        "object_above_max_properties",
    ),
    (
        {"model": "base-1", "training_file": "f", "hyperparameters": {"n_epochs": 51}},
        "hyperparameters.n_epochs",
        "integer_above_max_value",
    ),
    (
        {"model": "base-1", "training_file": "f", "hyperparameters": {"batch_size": "all"}},
        "hyperparameters.batch_size",
        "invalid_type",
    ),
    (
        {
            "model": "base-1",
            "training_file": "f",
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 0}}},
        },
        "method.supervised.hyperparameters.n_epochs",
        "integer_below_min_value",
    ),
    (
        {"model": "base-1", "training_file": "f", "training": {"rank": 4}},
        "training.rank",
        "unknown_parameter",
    ),
    ([], None, "invalid_value"),
]

UNREADABLE = [
    b'{"model": NaN}',
    b'{"model": "\\ud800"}',
    b"{",
    b"",
    b"\xff\xfe{",
    b'{"model": "base-1", "prompt": "\\u0000"}',
    b"[" * 100_000,
    b'{"model": 1e999}',
]


def error_of(response: Any) -> dict[str, Any]:
    body = response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def test_unknown_routes_and_wrong_methods_answer_in_the_envelope(http: TestClient) -> None:
    missing = http.get("/v1/nothing")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "unknown_url")
    wrong = http.put("/v1/files")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, POST"


def test_endpoints_of_openai_that_are_not_offered_say_why(http: TestClient) -> None:
    missing = http.post("/v1/batches")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_offered")
    assert (
        "no batches; send the requests themselves, a limited number at a time"
        in (error_of(missing)["message"])
    )
    stored = http.get("/v1/chat/completions")
    assert (stored.status_code, error_of(stored)["code"]) == (405, "not_offered")
    assert "does not store chat completions" in error_of(stored)["message"]


def test_a_wrong_job_request_names_its_parameter(http: TestClient, subtests: pytest.Subtests) -> None:
    for body, param, code in WRONG_JOBS:
        with subtests.test(body=body):
            answer = http.post("/v1/fine_tuning/jobs", json=body)
            assert answer.status_code == 400
            error = error_of(answer)
            assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
            assert param is None or param in error["message"]


@pytest.mark.parametrize(
    "name", ["completions", "chat/completions", "responses", "classifications", "embeddings"]
)
@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": 5}])
def test_a_question_names_its_model(http: TestClient, name: str, model: dict[str, Any]) -> None:
    question = {"prompt": "x"} if name == "completions" else {"input": "x"}
    if name == "chat/completions":
        question = {"messages": [{"role": "user", "content": "x"}]}
    answer = http.post(f"/v1/{name}", json=question | model)
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["param"] == "model"
    assert error["code"] == ("invalid_type" if model else "missing_required_parameter")


def test_unreadable_json_is_the_callers_fault(http: TestClient, subtests: pytest.Subtests) -> None:
    for body in UNREADABLE:
        with subtests.test(body=body[:40]):
            answer = http.post("/v1/completions", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 400
            assert error_of(answer)["type"] == "invalid_request_error"


@on_both_databases
def test_nul_never_reaches_the_database(http: TestClient, subtests: pytest.Subtests) -> None:
    for path in ("/v1/files/file-%00", "/v1/files?after=%00", "/v1/models/%00"):
        with subtests.test(path=path):
            assert http.get(path).status_code == 400


def test_a_wrong_query_names_its_parameter(http: TestClient, subtests: pytest.Subtests) -> None:
    for query in ("limit=0", "limit=10001", "limit=many", "order=up", "purpose=fun", "after=file-absent"):
        with subtests.test(query=query):
            answer = http.get(f"/v1/files?{query}")
            assert answer.status_code == 400
            assert error_of(answer)["param"] == query.partition("=")[0]


def test_a_fault_of_ours_tells_the_log_everything_and_the_caller_nothing(
    state: AppState, http: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(state.engine, FakeEngine)
    state.engine.refusal = ZeroDivisionError("secret detail")  # type: ignore[assignment]
    with caplog.at_level(logging.ERROR):
        answer = http.post("/v1/completions", json={"model": "base-1", "prompt": "x"})
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "internal_error"
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert "ZeroDivisionError: secret detail" in caplog.text


def test_a_fault_of_the_engine_is_told_by_the_id_under_which_its_log_has_it(
    state: AppState, http: TestClient
) -> None:
    assert isinstance(state.engine, FakeEngine)
    state.engine.refusal = fault = InternalError.of("The model server")
    answer = http.post("/v1/completions", json={"model": "base-1", "prompt": "x"})
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    assert error_of(answer)["message"] == fault.message


def test_every_answer_carries_its_id_and_duration(http: TestClient) -> None:
    answers = [
        http.get("/v1/models"),
        http.get("/nothing"),
        http.get("/v1/models", headers={"authorization": ""}),
    ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert all(int(answer.headers["openai-processing-ms"]) >= 0 for answer in answers)


def test_a_request_is_one_line_of_the_log_whatever_its_path_holds(
    http: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "service.api.http.middleware"):
        answer = http.get("/v1/files/x%0Aforged?secret=1")
    (line,) = [
        record.getMessage() for record in caplog.records if record.name == "service.api.http.middleware"
    ]
    assert line.startswith(f"{answer.headers['x-request-id']} GET /v1/files/x%0Aforged 400 ")
    assert "secret" not in line


def test_an_oversized_body_is_413_whether_announced_or_not(http: TestClient) -> None:
    megabyte = b" " * 2**20
    announced = http.post("/v1/completions", content=megabyte * 33)
    unannounced = http.post(
        "/v1/completions",
        content=iter([megabyte] * 33),
        headers={"content-type": "application/json"},
    )
    for answer in (announced, unannounced):
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "request_too_large"
        assert "33554432 bytes" in error_of(answer)["message"]


@on_both_databases
def test_a_database_that_does_not_answer_is_503_with_retry_after(state: AppState, project: Project) -> None:
    gone = Database("postgresql://nobody@127.0.0.1:1/none")
    app = create_app(state.settings, open_state=lambda _: replace(state, database=gone))
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        answer = client.get("/v1/models")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert error_of(answer)["type"] == "server_error"


def test_refused_clients_are_spread_over_times_that_all_of_them_heed() -> None:
    waits = [
        int(response_of(Overloaded("full", retry_after_seconds=60)).headers["retry-after-ms"])
        for _ in range(50)
    ]
    assert len(set(waits)) > 10
    assert 30_000 < min(waits) < max(waits) <= 60_000
    exact = response_of(RateLimited("limited", unit="requests", retry_after_seconds=59))
    assert 59_000 <= int(exact.headers["retry-after-ms"]) <= 60_000
    short = response_of(Unavailable("later", retry_after_seconds=2))
    assert 2000 <= int(short.headers["retry-after-ms"]) <= 3000
