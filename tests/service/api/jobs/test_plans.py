"""What fits on no device is refused when it is created, and a job shows how it is planned."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from cluster.contracts.bases import BasesAnswer, BaseSpec
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.model_shape import ModelShape
from cluster.planning.planner import find_plan, task_of
from cluster.planning.shapes import shape_of
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from tests.api import BASE, Project, jsonl, with_settings

GPU = Pool.model_validate({"kind": "cuda", "devices": 1, "device_bytes": "24GB"})
LARGE = shape_of(
    {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
)
assert LARGE is not None


@pytest.fixture
def http(state: AppState, project: Project) -> Iterator[TestClient]:
    state = with_settings(state, training_pools=(GPU,))
    know(state, LARGE)
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        know(state, LARGE)
        yield client


def know(state: AppState, shape: ModelShape | None) -> None:
    async def ask(bases: list[BaseSpec]) -> BasesAnswer:
        return BasesAnswer(shapes={} if shape is None else {BASE.alias: shape})

    asyncio.run(state.availability.refresh(ask, state.catalogue))


def create(http: TestClient, **training: Any) -> Any:
    files: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file = http.post("/v1/files", **files).json()["id"]
    body = {"model": "base-1", "training_file": file, "training": training}
    return http.post("/v1/fine_tuning/jobs", json=body)


def test_a_job_that_fits_no_device_is_refused_at_once(http: TestClient) -> None:
    refused = create(http, type="lora")
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (
        "insufficient_memory",
        "training",
        "invalid_request_error",
    )
    assert "1 x 24 GB" in error["message"]
    assert "training.type 'qlora'" in error["message"]
    assert http.get("/v1/fine_tuning/jobs").json()["data"] == []
    assert create(http, type="qlora").status_code == 200


def test_a_length_beyond_the_bases_context_is_refused(http: TestClient) -> None:
    refused = create(http, max_seq_length=513).json()["error"]
    assert refused["param"] == "training.max_seq_length"
    assert "512" in refused["message"]


def test_a_job_shows_its_plan_once_its_files_are_validated(http: TestClient, state: AppState) -> None:
    job = create(http, type="qlora").json()
    assert job["tunery"]["plan"] is None
    assert job["tunery"]["training"]["num_workers"] == "auto"

    assert LARGE is not None
    options = TrainingOptions(type="qlora")
    plan = find_plan(task_of(LARGE, BASE, options, "supervised"), options, [GPU], slots=1)
    _, config = resolve(Hyperparameters(), options, BASE, n_examples=12, seed=1, plan=plan)
    with state.database.write() as session:
        session.get_one(tables.Job, job["id"]).config = config.model_dump(mode="json")
    found = http.get(f"/v1/fine_tuning/jobs/{job['id']}").json()["tunery"]["plan"]
    assert (found["num_workers"], found["parallelism"], found["device"]) == (1, "single", "cuda")
    assert found["device_memory"]["total"] < 24 * 10**9
    assert found["device_memory"]["weights"] > 4 * 10**9
    assert (found["served_as"], found["max_seq_length"]) == ("lora", 512)
