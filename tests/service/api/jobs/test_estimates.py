"""`/v1/fine_tuning/jobs/estimate`, with a fake cluster behind it."""

from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from cluster.bases.configs import config_here
from cluster.contracts.bases import BuiltinSource
from cluster.contracts.costs import JobCost
from cluster.contracts.datasets import DatasetCheck, Problem, RowLength
from cluster.contracts.devices import Pool
from cluster.contracts.errors import Unavailable
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.jobs import JobStatus
from cluster.planning.shapes import shape_of
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.database import now
from tests.api import BASE, Project, jsonl, with_settings
from tests.fakes import FakeEngine

SHAPE = shape_of(config_here(BASE.model_copy(update={"source": BuiltinSource(name="tiny")})) or {})
COST = JobCost(
    device="cpu",
    steps=9,
    trained_tokens=360,
    held_out_tokens=0,
    general_tokens=100,
    training_seconds=18.0,
    evaluation_seconds=3.0,
    memory_bytes=500,
    starting_seconds=8.0,
    publishing_seconds=1.0,
)


@pytest.fixture
def engine(state: AppState) -> FakeEngine:
    assert isinstance(state.engine, FakeEngine)
    state.engine.check = DatasetCheck(
        format="chat",
        n_examples=12,
        n_tokens=120,
        n_supervised_tokens=60,
        longest=30,
        longest_rows=[RowLength(line=7, tokens=30), RowLength(line=1, tokens=20)],
        n_truncated=1,
        truncated_lines=[7],
    )
    return state.engine


@pytest.fixture
def file(http: TestClient, engine: FakeEngine) -> str:
    return upload(http)


def upload(http: TestClient) -> str:
    files: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    return str(http.post("/v1/files", **files).json()["id"])


def create(http: TestClient, file: str, **body: Any) -> Any:
    return http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file, **body}).json()


def estimate(http: TestClient, file: str, **body: Any) -> Any:
    answer = http.post(
        "/v1/fine_tuning/jobs/estimate", json={"model": "base-1", "training_file": file, **body}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def set_job(state: AppState, job_id: str, **columns: Any) -> None:
    with state.database.write() as session:
        row = session.get_one(tables.Job, job_id)
        for name, value in columns.items():
            setattr(row, name, value)


def begin(state: AppState, job_id: str, *, seconds: int) -> None:
    """Lets the job hold its device for so long from now on."""
    with state.database.write() as session:
        row, at = session.get_one(tables.Job, job_id), now(session)
        row.status, row.attempt, row.estimated_finish = JobStatus.RUNNING.value, 1, int(at) + seconds
        session.add(
            tables.Attempt(
                job_id=job_id,
                number=1,
                submission_id=f"{job_id}-a1",
                token_sha256="",
                state="running",
                num_workers=1,
                created_at=at,
                started_at=at,
                heartbeat_at=at,
            )
        )


def add_past_run(state: AppState, http: TestClient, file: str) -> str:
    """A job that has succeeded, and took COST."""
    job_id = create(http, file)["id"]
    _, config = resolve(Hyperparameters(), TrainingOptions(), BASE, n_examples=12, seed=1)
    set_job(
        state,
        job_id,
        status=JobStatus.SUCCEEDED.value,
        finished_at=5,
        config=config.model_dump(mode="json"),
        cost=COST.model_dump(mode="json"),
    )
    return str(job_id)


def test_tokens_and_steps_are_those_of_the_files_and_nothing_is_stored(
    http: TestClient, file: str, state: AppState
) -> None:
    found = estimate(http, file, seed=5, training={"on_overlength": "truncate"})
    assert found["hyperparameters"] == {"batch_size": 4, "learning_rate_multiplier": 1.0, "n_epochs": 8}
    assert (found["object"], found["model"], found["seed"]) == ("fine_tuning.job.estimate", "base-1", 5)
    assert found["steps"] == 8 * 3
    assert found["rows"] == {"trained": 12, "held_out": 0, "truncated": 1, "dropped": 0}
    assert found["tokens"] == {
        "per_epoch": 120,
        "trained": 960,
        "learned_per_epoch": 60,
        "held_out": 0,
        "longest_rows": [{"line": 7, "tokens": 30}, {"line": 1, "tokens": 20}],
    }
    assert "1 example(s) of training_file with more than 512 tokens were cut" in found["warnings"][0]
    with state.database.read() as session:
        assert session.scalars(select(tables.Job)).all() == []


def test_a_split_is_counted_as_training_would_draw_it(
    http: TestClient, file: str, engine: FakeEngine
) -> None:
    engine.check = engine.check.model_copy(
        update={"n_held_out": 3, "n_held_out_tokens": 30, "n_held_out_supervised_tokens": 12}
    )
    found = estimate(http, file, training={"validation_split": 0.25})
    (asked,) = engine.checked
    assert (asked.validation_split, asked.seed) == (0.25, found["seed"])
    assert found["rows"].items() >= {"trained": 9, "held_out": 3}.items()
    assert found["tokens"].items() >= {"per_epoch": 90, "learned_per_epoch": 48, "held_out": 30}.items()


def test_a_validation_file_is_read_and_counted_too(http: TestClient, file: str, engine: FakeEngine) -> None:
    found = estimate(http, file, validation_file=upload(http))
    assert len(engine.checked) == 2
    assert (found["rows"]["held_out"], found["tokens"]["held_out"]) == (12, 120)


def test_what_is_not_known_is_null_with_the_reason(http: TestClient, file: str) -> None:
    found = estimate(http, file)
    assert (found["time"], found["measured_memory_bytes"], found["price"]) == (None, None, None)
    assert found["unknown"].keys() == {"time", "measured_memory_bytes", "price", "plan.device_memory"}
    assert "has finished on this server yet" in found["unknown"]["time"]
    assert found["queue"] == {"jobs_ahead": 0, "seconds": 0.0}


def test_time_and_memory_come_from_a_finished_run(http: TestClient, file: str, state: AppState) -> None:
    add_past_run(state, http, file)
    found = estimate(http, file, hyperparameters={"n_epochs": 3})
    time = found["time"]
    assert (time["device"], time["based_on"], found["measured_memory_bytes"]) == ("cpu", 1, 500)
    assert time["total"]["low"] < COST.seconds < time["total"]["high"]
    phases = [time[name]["high"] for name in ("starting", "training", "evaluation", "publishing")]
    assert sum(phases) == pytest.approx(time["total"]["high"])
    assert found["unknown"].keys() == {"price", "plan.device_memory"}
    longer = estimate(http, file, hyperparameters={"n_epochs": 30})["time"]
    assert longer["training"]["low"] > 5 * time["training"]["high"]


def test_the_plan_is_that_of_the_job_with_the_memory_that_it_takes(
    http: TestClient, file: str, state: AppState, engine: FakeEngine
) -> None:
    found = estimate(http, file)
    assert found["plan"]["num_workers"] == 1
    assert (found["plan"]["pool"], found["plan"]["device_memory"]) == (None, None)
    assert "plan.device_memory" in found["unknown"]

    engine.check = engine.check.model_copy(update={"shape": SHAPE})
    pool = Pool(name="box", kind="cpu", devices=2, host_bytes=16 * 2**30)
    client = TestClient(
        create_app(
            state.settings,
            open_state=lambda _: with_settings(state, training_pools=(pool,), training_slots=2),
        ),
        headers=http.headers,
    )
    with client:
        plan = estimate(client, file, training={"max_seq_length": 256})["plan"]
        elastic = estimate(client, file, training={"num_workers": {"min": 1, "max": 9}})
        body = {"model": "base-1", "training_file": file, "hyperparameters": {"batch_size": 1}}
        body["training"] = {"num_workers": {"min": 2, "max": 2}}
        refused = client.post("/v1/fine_tuning/jobs", json=body)
    assert found["workers"] is None
    workers = elastic["workers"]
    assert (workers["current"], workers["min"], workers["max"]) == (None, 1, 2)
    assert [(each["num_workers"], each["parallelism"], each["pool"]) for each in workers["plans"]] == [
        (1, "single", "box"),
        (2, "ddp", "box"),
    ]
    assert refused.json()["error"]["param"] == "training.num_workers"
    assert (plan["num_workers"], plan["parallelism"], plan["activation_checkpointing"]) == (
        1,
        "single",
        "none",
    )
    assert (plan["pool"], plan["device"], plan["served_as"], plan["max_seq_length"]) == (
        "box",
        "cpu",
        "lora",
        256,
    )
    memory = plan["device_memory"]
    assert memory["total"] == sum(size for name, size in memory.items() if name != "total")
    assert memory["gradients"] == memory["trained_weights"] == memory["optimizer"] / 2 > 0
    assert plan["resume_state_bytes"] == 3 * plan["served_bytes"] > 0


def test_a_new_job_waits_for_those_ahead(http: TestClient, file: str, state: AppState) -> None:
    waiting = create(http, file)["id"]
    found = estimate(http, file)
    assert found["queue"] == {"jobs_ahead": 1, "seconds": None}
    assert "queue.seconds" in found["unknown"]
    add_past_run(state, http, file)
    typical = estimate(http, file)["queue"]["seconds"]
    assert typical > 0
    set_job(state, waiting, hyperparameters={"n_epochs": 40})
    assert estimate(http, file)["queue"]["seconds"] > 2 * typical, "the size of a job that was just created"
    set_job(state, waiting, priority="low")
    assert estimate(http, file)["queue"] == {"jobs_ahead": 0, "seconds": 0.0}
    low = {"tunery": {"priority": "low"}}
    assert estimate(http, file, **low)["queue"]["jobs_ahead"] == 1
    set_job(state, waiting, priority="normal")
    begin(state, waiting, seconds=100)
    running = estimate(http, file)["queue"]
    assert (running["jobs_ahead"], 90 < running["seconds"] <= 100) == (1, True)


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ({"price_per_million_tokens": {"base-1": 1000.0, "*": 9.0}}, (0.36, 0.36)),
        ({"price_per_million_tokens": {"*": 500.0}}, (0.18, 0.18)),
        ({"price_per_device_hour": 3600.0}, (29 * 0.85, 29 * 1.15)),
        (
            {"price_per_million_tokens": {"*": 1000.0}, "price_per_device_hour": 3600.0},
            (0.36 + 29 * 0.85, 0.36 + 29 * 1.15),
        ),
        ({"price_per_million_tokens": {"another": 1.0}}, None),
    ],
)
def test_a_price_is_that_of_the_tokens_and_of_the_devices_time(
    http: TestClient, file: str, state: AppState, project: Project, prices: Any, expected: Any
) -> None:
    add_past_run(state, http, file)
    priced = with_settings(state, price_currency="EUR", **prices)
    app = create_app(priced.settings, open_state=lambda _: priced)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        found = estimate(client, file, hyperparameters={"n_epochs": 3})
    if expected is None:
        assert found["price"] is None
        assert "price" in found["unknown"]
    else:
        assert found["price"]["currency"] == "EUR"
        assert (found["price"]["low"], found["price"]["high"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"training_file": "file-absent"}, "invalid_training_file", "training_file"),
        ({"model": "nobody"}, "model_not_found", "model"),
        ({"method": {"type": "dpo"}}, "wrong_format", "training_file"),
        ({"training": {"num_workers": 2}}, None, "training.num_workers"),
        ({"training": {"num_workers": {"min": 2, "max": 3}}}, None, "training.num_workers"),
        ({"training": {"num_workers": {"min": 2, "max": 1}}}, None, "training.num_workers"),
    ],
)
def test_what_create_refuses_is_refused(
    http: TestClient, file: str, change: Any, code: str | None, param: str
) -> None:
    body = {"model": "base-1", "training_file": file, **change}
    created, estimated = (http.post(f"/v1/fine_tuning/jobs{path}", json=body) for path in ("", "/estimate"))
    assert created.status_code == 400
    assert estimated.json() == created.json()
    assert estimated.json()["error"]["param"] == param
    assert code in (None, estimated.json()["error"]["code"])


def test_what_would_fail_the_job_later_is_refused_now(
    http: TestClient, file: str, engine: FakeEngine
) -> None:
    body = {"model": "base-1", "training_file": file}

    def refused() -> Any:
        answer = http.post("/v1/fine_tuning/jobs/estimate", json=body)
        assert answer.status_code == 400
        return answer.json()["error"]

    whole = engine.check
    engine.check = whole.model_copy(update={"n_examples": 7})
    assert refused()["code"] == "invalid_n_examples"
    problem = Problem(line=3, code="too_long", message="Line 3: 600 tokens")
    engine.check = whole.model_copy(update={"problems": [problem]})
    error = refused()
    assert (error["code"], error["param"]) == ("invalid_training_file", "training_file")
    assert "Line 3: 600 tokens" in error["message"]


def test_a_file_that_is_still_being_read_is_asked_for_again(
    http: TestClient, file: str, engine: FakeEngine
) -> None:
    engine.refusal = Unavailable("The file is being read.", code="dataset_not_ready")
    answer = http.post("/v1/fine_tuning/jobs/estimate", json={"model": "base-1", "training_file": file})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "dataset_not_ready")
    assert "retry-after" in answer.headers


def test_a_repeated_request_asks_the_cluster_the_same(
    http: TestClient, file: str, engine: FakeEngine, project: Project
) -> None:
    """So the cluster, which shares equal requests, reads the file once for all of a client's polls."""
    seeds = [estimate(http, file, training={"validation_split": 0.25})["seed"] for _ in range(3)]
    assert len(set(seeds)) == 1
    assert all(request == engine.checked[0] for request in engine.checked)
    assert engine.checked[0].seed == seeds[0]
    assert engine.read_for == [project.tenant.project_id] * 3
    engine.checked.clear()
    for seed in (1, 2):
        estimate(http, file, seed=seed)
    assert engine.checked[0] == engine.checked[1]
