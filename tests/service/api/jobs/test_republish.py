"""`POST /v1/fine_tuning/jobs/{job_id}/republish`, and what a job shows of its publishing."""

import pytest
from starlette.testclient import TestClient

from cluster.contracts.errors import Unavailable
from service.api.state import AppState
from service.db.database import now
from service.db.jobs.publishing import postpone_publishing
from service.db.retries import PublishPolicy
from service.db.transitions import lock
from tests.api import Project, add_key, jsonl
from tests.service.db.rows import refuse, train


@pytest.fixture
def job_id(http: TestClient, state: AppState) -> str:
    """Of a job that is trained."""
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job_id = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id}).json()[
        "id"
    ]
    train(state.database, job_id)
    return job_id


def republish(http: TestClient, job_id: str, **request):
    return http.post(f"/v1/fine_tuning/jobs/{job_id}/republish", **request)


def test_a_trained_job_says_where_its_weights_are_and_when_it_is_tried_again(
    http: TestClient, state: AppState, job_id: str
) -> None:
    job = http.get(f"/v1/fine_tuning/jobs/{job_id}").json()
    (checkpoint,) = http.get(f"/v1/fine_tuning/jobs/{job_id}/checkpoints").json()["data"]
    publishing = job["tunery"]["publishing"]
    assert (job["status"], job["tunery"]["state"], job["fine_tuned_model"]) == ("running", "publishing", None)
    assert publishing["weights"] == checkpoint["fine_tuned_model_checkpoint"]
    assert checkpoint["metrics"]["train_loss"] == pytest.approx(0.1)
    assert (publishing["tries"], publishing["next_try_at"], publishing["last_fault"]) == (0, None, None)
    with state.database.write() as session:
        row = lock(session, job_id)
        assert row is not None
        fault = Unavailable("The model server does not answer.", code="serving_unavailable")
        postpone_publishing(session, row, fault, PublishPolicy(first_seconds=60.0), at=now(session))
    after = http.get(f"/v1/fine_tuning/jobs/{job_id}").json()["tunery"]["publishing"]
    assert (after["tries"], after["last_fault"]["code"]) == (1, "serving_unavailable")
    assert after["next_try_at"] >= publishing["trained_at"] + 60
    assert republish(http, job_id).json()["tunery"]["publishing"]["next_try_at"] is None


def test_a_refused_model_is_published_again_with_or_without_a_body(
    http: TestClient, state: AppState, job_id: str
) -> None:
    for request in ({}, {"json": {}}, {"json": {"gate": "check", "regression": "allow"}}):
        refuse(state.database, job_id)
        failed = http.get(f"/v1/fine_tuning/jobs/{job_id}").json()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "serving_mismatch")
        assert failed["tunery"]["publishing"]["weights"] in failed["error"]["message"]
        answer = republish(http, job_id, **request)
        assert answer.status_code == 200, answer.text
        again = answer.json()
        assert (again["status"], again["error"], again["finished_at"]) == ("running", None, None)


def test_only_an_admin_may_skip_the_gate(
    http: TestClient, state: AppState, project: Project, job_id: str
) -> None:
    refuse(state.database, job_id)
    writer = {"Authorization": f"Bearer {add_key(state.database, project.tenant, frozenset({'write'}))}"}
    refused = republish(http, job_id, json={"gate": "skip"}, headers=writer)
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "gate")
    assert republish(http, job_id, headers=writer).status_code == 200
    refuse(state.database, job_id)
    assert republish(http, job_id, json={"gate": "skip"}).status_code == 200


@pytest.mark.parametrize(("body", "param"), [({"gate": "off"}, "gate"), ({"force": True}, "force")])
def test_other_bodies_are_refused(http: TestClient, job_id: str, body, param: str) -> None:
    refused = republish(http, job_id, json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_an_untrained_job_is_a_conflict(http: TestClient, state: AppState) -> None:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    body = {"model": "base-1", "training_file": file_id}
    job_id = http.post("/v1/fine_tuning/jobs", json=body).json()["id"]
    refused = republish(http, job_id)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_trained")
