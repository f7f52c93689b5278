"""The runner's sync: an attempt's own token opens it, and nothing else does."""

import pytest
from starlette.testclient import TestClient

from service.api.parts import Parts
from service.db import tables
from service.db.attempts import token_sha256
from tests.api import jsonl

SYNC = "/internal/attempts/{job}/1/sync"


@pytest.fixture
def job(parts: Parts, http: TestClient) -> str:
    """Of which attempt 1 has just been submitted."""
    upload = http.post(
        "/v1/files", files={"file": ("a.jsonl", jsonl())}, data={"purpose": "fine-tune"}
    ).json()
    job_id = http.post(
        "/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": upload["id"]}
    ).json()["id"]
    with parts.database.write() as session:
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


def test_a_sync_starts_the_job_and_is_told_to_go_on_and_later_to_stop(http: TestClient, job: str) -> None:
    token = {"authorization": "Bearer the-token"}
    path = SYNC.format(job=job)
    assert http.post(path, json={}, headers=token).json() == {"command": "continue"}
    shown = http.get(f"/v1/fine_tuning/jobs/{job}").json()
    assert (shown["status"], shown["tunery"]["attempt"]) == ("running", 1)
    http.post(f"/v1/fine_tuning/jobs/{job}/cancel")
    assert http.post(path, json={}, headers=token).json() == {"command": "cancel"}


def test_steps_show_in_the_job_and_its_events(http: TestClient, job: str) -> None:
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
    answer = http.post(
        SYNC.format(job=job), json={"events": [step]}, headers={"authorization": "Bearer the-token"}
    )
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


def test_an_api_key_does_not_open_it_and_the_token_opens_nothing_else(http: TestClient, job: str) -> None:
    assert http.post(SYNC.format(job=job), json={}).status_code == 401
    wrong = {"authorization": "Bearer the-token2"}
    assert http.post(SYNC.format(job=job), json={}, headers=wrong).status_code == 401
    assert http.get("/v1/models", headers={"authorization": "Bearer the-token"}).status_code == 401


def test_a_newer_attempt_fences_the_older_with_409(parts: Parts, http: TestClient, job: str) -> None:
    with parts.database.write() as session:
        session.get_one(tables.Job, job).attempt = 2
    answer = http.post(SYNC.format(job=job), json={}, headers={"authorization": "Bearer the-token"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "fenced")


def test_it_is_not_in_the_public_document(http: TestClient) -> None:
    assert "internal" not in http.get("/openapi.json").text
