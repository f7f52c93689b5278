"""Integrations of jobs, as clients ask for them and see them."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.state import AppState
from service.db import tables
from tests.api import jsonl, with_settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

WANDB = {"type": "wandb", "wandb": {"project": "orders"}}
MLFLOW = {"type": "mlflow", "mlflow": {"experiment": "orders", "name": "first"}}
TRACKIO = {"type": "trackio", "trackio": {"project": "orders"}}
TENSORBOARD = {"type": "tensorboard"}


@pytest.fixture
def file(http: TestClient) -> str:
    files: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    return str(http.post("/v1/files", **files).json()["id"])


@pytest.fixture
def state(state: AppState) -> AppState:
    return with_settings(state, integrations=("wandb", "mlflow", "tensorboard"), wandb_entity="team")


def create(http: TestClient, file: str, **body: Any) -> Any:
    return http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file, **body})


def error(response: Any) -> tuple[str, str]:
    assert response.status_code == 400, response.text
    found = response.json()["error"]
    return found["param"], found["code"]


def own(*integrations: dict[str, Any]) -> dict[str, Any]:
    return {"tunery": {"integrations": list(integrations)}}


def test_what_a_job_asks_for_is_shown_openais_part_in_openais_place(http: TestClient, file: str) -> None:
    job = create(http, file, integrations=[WANDB], **own(MLFLOW, TENSORBOARD)).json()
    assert job["integrations"] == [
        {"type": "wandb", "wandb": {"project": "orders", "name": None, "entity": None, "tags": None}}
    ]
    assert job["tunery"]["integrations"] == [
        {"type": type, "url": None, "problem": None, "file": None}
        for type in ("wandb", "mlflow", "tensorboard")
    ]
    assert http.get(f"/v1/fine_tuning/jobs/{job['id']}").json() == job


@pytest.mark.parametrize("body", [{}, {"integrations": []}, {"integrations": None, "tunery": {}}, own()])
def test_a_job_without_integrations_has_an_empty_list_as_with_openai(
    http: TestClient, file: str, body: dict[str, Any]
) -> None:
    job = create(http, file, **body).json()
    assert (job["integrations"], job["tunery"]["integrations"]) == ([], [])


def test_what_became_of_an_integration_is_shown(http: TestClient, state: AppState, file: str) -> None:
    id = create(http, file, integrations=[WANDB], **own(TENSORBOARD)).json()["id"]
    with state.database.write() as session:
        session.get_one(tables.Job, id).integration_results = {
            "wandb": {"url": "https://wandb.example/run", "problem": "It does not answer."},
            "tensorboard": {"file": "file-events"},
        }
    assert http.get(f"/v1/fine_tuning/jobs/{id}").json()["tunery"]["integrations"] == [
        {"type": "wandb", "url": "https://wandb.example/run", "problem": "It does not answer.", "file": None},
        {"type": "tensorboard", "url": None, "problem": None, "file": "file-events"},
    ]


def test_what_the_operator_has_not_enabled_is_refused_by_the_settings_name(
    http: TestClient, file: str
) -> None:
    response = create(http, file, integrations=[WANDB], **own(TENSORBOARD, TRACKIO))
    assert error(response) == ("tunery.integrations[1].type", "unsupported_integration")
    assert "TUNERY_INTEGRATIONS" in response.json()["error"]["message"]


def test_an_integration_is_asked_for_once_and_writes_to_the_operators_entity(
    http: TestClient, file: str
) -> None:
    assert error(create(http, file, integrations=[WANDB, WANDB])) == ("integrations[1]", "invalid_value")
    foreign = {"type": "wandb", "wandb": {"project": "p", "entity": "another-team"}}
    assert error(create(http, file, integrations=[foreign])) == (
        "integrations[0].wandb.entity",
        "invalid_value",
    )
    named = {"type": "wandb", "wandb": {"project": "p", "entity": "team"}}
    assert create(http, file, integrations=[named]).status_code == 200


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"project": "../../etc"}, "project"),
        ({"project": "a/b"}, "project"),
        ({"project": ".."}, "project"),
        ({"project": ""}, "project"),
        ({"project": "p" * 129}, "project"),
        ({"project": "p\n"}, "project"),
        ({"project": "p", "entity": "e?x=1"}, "entity"),
        ({"project": "p", "entity": "team#"}, "entity"),
        ({"project": "p", "name": "a\u0007b"}, "name"),
        ({"project": "p", "name": "n" * 129}, "name"),
        ({"project": "p", "tags": ["ok", "t" * 65]}, "tags[1]"),
        ({"project": "p", "tags": ["t"] * 33}, "tags"),
        ({"project": "p", "tags": [1]}, "tags[0]"),
        ({"project": "p", "base_url": "http://169.254.169.254"}, "base_url"),
        ({"project": "p", "api_key": "mine"}, "api_key"),
        ({}, "project"),
    ],
)
def test_names_that_a_tracker_could_take_for_something_else_are_refused(
    http: TestClient, file: str, options: dict[str, Any], param: str
) -> None:
    response = create(http, file, integrations=[{"type": "wandb", "wandb": options}])
    assert error(response)[0] == f"integrations[0].wandb.{param}"


def test_openais_place_takes_openais_types_only(http: TestClient, file: str) -> None:
    assert error(create(http, file, integrations=[MLFLOW]))[0].startswith("integrations[0]")
    assert error(create(http, file, **own(WANDB)))[0].startswith("tunery.integrations[0]")
