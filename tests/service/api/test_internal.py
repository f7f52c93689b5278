"""The runner's sync accepts only the token of its attempt."""

from collections.abc import Iterator

import orjson
import pytest
from anyio.to_thread import current_default_thread_limiter
from starlette.testclient import TestClient

from cluster.contracts.jobs import MAX_SYNC_BYTES
from service.api.routes.internal import create_internal_app
from service.api.state import AppState
from service.db import tables
from service.db.scheduler.attempts import token_sha256
from tests.api import jsonl

SYNC = "/internal/attempts/{job}/1/sync"


TOKEN = {"authorization": "Bearer the-token"}


@pytest.fixture
def runner(http: TestClient) -> TestClient:
    """A client of the runners' port, with the token of attempt 1."""
    app = create_internal_app(http.app.state)  # type: ignore[attr-defined]
    return TestClient(app, headers=TOKEN)


@pytest.fixture
def job(state: AppState, http: TestClient) -> str:
    """A job whose attempt 1 has just been submitted."""
    upload = http.post(
        "/v1/files", files={"file": ("a.jsonl", jsonl())}, data={"purpose": "fine-tune"}
    ).json()
    job_id = http.post(
        "/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": upload["id"]}
    ).json()["id"]
    with state.database.write() as session:
        row = session.get_one(tables.Job, job_id)
        row.status, row.attempt = "starting", 1
        session.add(
            tables.Attempt(
                job_id=job_id,
                number=1,
                submission_id=f"{job_id}-a1",
                token_sha256=token_sha256("the-token"),
                state="submitted",
                created_at=1,
                heartbeat_at=1,
            )
        )
    return str(job_id)


def test_a_sync_starts_the_job_and_returns_continue_and_later_cancel(
    http: TestClient, runner: TestClient, job: str
) -> None:
    path = SYNC.format(job=job)
    assert runner.post(path, json={}).json() == {"command": "continue"}
    shown = http.get(f"/v1/fine_tuning/jobs/{job}").json()
    assert (shown["status"], shown["tunery"]["attempt"]) == ("running", 1)
    http.post(f"/v1/fine_tuning/jobs/{job}/cancel")
    assert runner.post(path, json={}).json() == {"command": "cancel"}


def test_a_runner_is_heard_while_requests_of_tenants_keep_all_common_threads(
    http: TestClient, job: str
) -> None:
    app = create_internal_app(http.app.state)  # type: ignore[attr-defined]
    with TestClient(app, headers=TOKEN) as runner:
        assert runner.portal is not None
        common = runner.portal.call(current_default_thread_limiter)
        for _ in range(int(common.total_tokens)):
            runner.portal.call(common.acquire_on_behalf_of_nowait, object())
        assert runner.post(SYNC.format(job=job), json={}).json() == {"command": "continue"}


def test_steps_show_in_the_job_and_its_events(http: TestClient, runner: TestClient, job: str) -> None:
    step = {
        "type": "step",
        "seq": 0,
        "created_at": 2,
        "step": 3,
        "total_steps": 9,
        "train_loss": 1.5,
        "train_mean_token_accuracy": 0.5,
        "learning_rate": 1e-3,
        "grad_norm": 1.0,
        "tokens_per_second": 100.0,
        "eta_seconds": 6.0,
        "memory_bytes": 2**30,
    }
    answer = runner.post(SYNC.format(job=job), json={"events": [step]})
    assert answer.status_code == 200
    shown = http.get(f"/v1/fine_tuning/jobs/{job}").json()
    assert shown["tunery"]["progress"] == {
        "step": 3,
        "total_steps": 9,
        "tokens_per_second": 100.0,
        "eta_seconds": 6.0,
        "memory_bytes": 2**30,
        "mfu": None,
    }
    newest = http.get(f"/v1/fine_tuning/jobs/{job}/events").json()["data"][0]
    assert (newest["type"], newest["data"]["step"], newest["data"]["train_loss"]) == ("metrics", 3, 1.5)


def test_an_api_key_is_refused_and_the_token_is_good_for_nothing_else(
    http: TestClient, runner: TestClient, job: str
) -> None:
    path = SYNC.format(job=job)
    for header in ("", "Bearer ", "Bearer the-token2", http.headers["authorization"]):
        answer = runner.post(path, json={}, headers={"authorization": header})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for other in (
        SYNC.format(job="ftjob-absent"),
        path.replace("/1/", "/2/"),
        path.replace("/1/", f"/{10**30}/"),
    ):
        assert runner.post(other, json={}).status_code == 401
    assert http.get("/v1/models", headers=TOKEN).status_code == 401


def test_the_public_port_does_not_serve_it(http: TestClient, runner: TestClient, job: str) -> None:
    assert http.post(SYNC.format(job=job), json={}, headers=TOKEN).status_code == 401
    assert http.post(SYNC.format(job=job), json={}).status_code == 404
    for path in ("/v1/models", "/healthz", "/openapi.json"):
        assert runner.get(path).status_code == 404


def test_no_body_is_read_and_no_lock_taken_before_the_token_is_checked(
    state: AppState, runner: TestClient, job: str
) -> None:
    def body() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    with state.database.write():  # on SQLite, nobody else could write at the same time
        wrong = {"authorization": "Bearer wrong"}
        assert runner.post(SYNC.format(job=job), content=body(), headers=wrong).status_code == 401


def test_a_larger_body_than_a_runner_sends_is_413(runner: TestClient, job: str) -> None:
    answer = runner.post(SYNC.format(job=job), content=b" " * (MAX_SYNC_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")

    def pieces() -> Iterator[bytes]:
        yield from [b" " * MAX_SYNC_BYTES, b" "]

    assert runner.post(SYNC.format(job=job), content=pieces()).status_code == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"events": 1}', b'{"other": 1}', b'{"events":[' + b"0," * 5_000 + b"0]}"],
    ids=["nothing", "list", "cut", "no list", "unknown", "many"],
)
def test_an_invalid_sync_is_400(runner: TestClient, job: str, body: bytes) -> None:
    answer = runner.post(SYNC.format(job=job), content=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_events_that_are_all_wrong_cost_one_finding(runner: TestClient, job: str) -> None:
    body = orjson.dumps({"events": [0] * 1000})
    assert "1 error" in runner.post(SYNC.format(job=job), content=body).json()["error"]["message"]


def test_a_newer_attempt_fences_the_older_with_409(state: AppState, runner: TestClient, job: str) -> None:
    with state.database.write() as session:
        session.get_one(tables.Job, job).attempt = 2
    answer = runner.post(SYNC.format(job=job), json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "fenced")


def test_it_is_not_in_the_public_document(http: TestClient) -> None:
    assert "internal" not in http.get("/openapi.json").text
