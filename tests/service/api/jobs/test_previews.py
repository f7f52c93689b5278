"""`/v1/fine_tuning/jobs/preview`, with a fake cluster behind it."""

from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from cluster.contracts.errors import InvalidDataset, InvalidRequest, Unavailable
from service.api.state import AppState
from service.db import tables
from tests.api import jsonl, preferences
from tests.fakes import FakeEngine

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def engine(state: AppState) -> FakeEngine:
    assert isinstance(state.engine, FakeEngine)
    return state.engine


def upload(http: TestClient, content: bytes) -> str:
    files: dict[str, Any] = {"files": {"file": ("a.jsonl", content)}, "data": {"purpose": "fine-tune"}}
    return str(http.post("/v1/files", **files).json()["id"])


def preview(http: TestClient, **body: Any) -> Any:
    return http.post("/v1/fine_tuning/jobs/preview", json={"model": "base-1", **body})


def _token(**fields: Any) -> dict[str, Any]:
    return {**fields, "label": None}


def test_rows_are_shown_token_by_token_and_nothing_is_stored(
    http: TestClient, state: AppState, engine: FakeEngine
) -> None:
    file = upload(http, jsonl())
    answer = preview(http, training_file=file)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "object": "fine_tuning.job.preview",
        "format": "chat",
        "max_length": 512,
        "has_more": False,
        "data": [
            {
                "line": 1,
                "outcome": "whole",
                "problem": None,
                "full_length": 2,
                "truncated_at": None,
                "sequences": [
                    {
                        "role": "example",
                        "tokens": [
                            _token(id=7, token="bytes:\\xc3", bytes=[195], learned=False),
                            _token(id=8, token="a", bytes=[97], learned=True),
                        ],
                    }
                ],
            }
        ],
    }
    (asked,) = engine.previewed
    assert (asked.base.alias, asked.n_rows, asked.lines, asked.method) == ("base-1", 5, None, "supervised")
    with state.database.read() as session:
        assert session.scalars(select(tables.Job)).all() == []


def test_the_cluster_is_asked_what_the_job_would_do(http: TestClient, engine: FakeEngine) -> None:
    file = upload(http, preferences())
    body = {"method": {"type": "dpo"}, "training": {"on_overlength": "truncate"}, "lines": [3, 1], "n": 2}
    assert preview(http, training_file=file, **body).status_code == 200
    (asked,) = engine.previewed
    assert (asked.method, asked.on_overlength, asked.lines) == ("dpo", "truncate", [3, 1])


@pytest.mark.parametrize(
    "change",
    [
        {"training_file": "file-absent"},
        {"model": "nobody"},
        {"model": "ft:base-1:none::absent00"},
        {"method": {"type": "reinforcement"}},
        {"method": {"type": "dpo"}},
        {"training": {"type": "full"}},
        {"training": {"num_workers": 64}},
        {"training": {"r": 0}},
        {"seed": -1},
        {"unknown": 1},
    ],
)
def test_what_create_refuses_is_refused_with_the_same_error(http: TestClient, change: dict[str, Any]) -> None:
    body = {"model": "base-1", "training_file": upload(http, jsonl()), **change}
    answers = [http.post(f"/v1/fine_tuning/jobs{path}", json=body) for path in ("", "/preview")]
    assert answers[0].status_code == 400
    assert answers[1].json() == answers[0].json()


@pytest.mark.parametrize(
    ("name", "value"), [("n", 0), ("n", 101), ("lines", []), ("lines", [0]), ("lines", [1] * 101)]
)
def test_at_most_100_rows_may_be_asked_for(http: TestClient, name: str, value: Any) -> None:
    answer = preview(http, training_file=upload(http, jsonl()), **{name: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(name)


@pytest.mark.parametrize(
    ("refusal", "status", "code", "param"),
    [
        (Unavailable("Reading.", code="dataset_not_ready"), 503, "dataset_not_ready", None),
        (InvalidRequest("The file has no row on line 99.", param="lines"), 400, "invalid_value", "lines"),
        (InvalidDataset("Other rows.", code="wrong_format"), 400, "wrong_format", "training_file"),
    ],
)
def test_what_the_cluster_refuses_is_passed_on(
    http: TestClient, engine: FakeEngine, refusal: Any, status: int, code: str, param: str | None
) -> None:
    engine.refusal = refusal
    answer = preview(http, training_file=upload(http, jsonl()))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert ("retry-after" in answer.headers) == (status == 503)
