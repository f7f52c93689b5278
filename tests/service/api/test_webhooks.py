"""Tunery's own routes of webhook endpoints."""

import pytest
from starlette.testclient import TestClient

from service.api.state import AppState
from service.db.webhooks.queue import Outcome, WebhookQueue
from service.webhooks.delivering import WebhookDeliverer
from tests.api import Project, add_key, jsonl
from tests.fakes import InlineExecutor

ENDPOINT = {
    "name": "shop",
    "url": "https://hooks.example.com/token-in-path",
    "event_types": ["fine_tuning.job.cancelled"],
}


def fail(*_: object, **__: object) -> Outcome:
    return Outcome(status_code=503, response="busy")


def deliver(state: AppState) -> None:
    queue = WebhookQueue(state.database, retention_seconds=86_400, disable_after_seconds=86_400)
    WebhookDeliverer(queue, fail, InlineExecutor()).step()


@pytest.fixture
def endpoint(http: TestClient) -> str:
    return http.post("/v1/webhook_endpoints", json=ENDPOINT).json()["id"]


def end_job(http: TestClient) -> str:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file}).json()["id"]
    assert http.post(f"/v1/fine_tuning/jobs/{job}/cancel").status_code == 200
    return job


def test_deliveries_show_what_was_answered_and_when_the_next_try_is(
    http: TestClient, state: AppState, endpoint: str
) -> None:
    for _ in range(2):
        end_job(http)
    deliver(state)
    page = http.get(f"/v1/webhook_endpoints/{endpoint}/deliveries?limit=1").json()
    assert page["has_more"]
    rest = http.get(f"/v1/webhook_endpoints/{endpoint}/deliveries?after={page['last_id']}").json()
    (first,) = [one for one in page["data"] + rest["data"] if one["tries"]]
    assert (first["status"], first["status_code"], first["response"]) == ("pending", 503, "busy")
    assert first["tried_at"] < first["next_try_at"]
    assert first["event_type"] == "fine_tuning.job.cancelled"
    assert http.get(f"/v1/webhook_endpoints/{endpoint}").json()["tunery"]["failures"] == 1


def test_a_disabled_endpoint_gets_nothing_until_it_is_enabled(
    http: TestClient, state: AppState, endpoint: str
) -> None:
    end_job(http)
    deliver(state)
    path = f"/v1/webhook_endpoints/{endpoint}"
    disabled = http.post(f"{path}/disable").json()["tunery"]
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "Disabled through the API.")
    (delivery,) = http.get(f"{path}/deliveries").json()["data"]
    assert delivery["status"] == "failed"
    redeliver = f"{path}/deliveries/{delivery['id']}/redeliver"
    assert http.post(redeliver).status_code == 409
    assert http.post(f"{path}/enable").json()["tunery"]["status"] == "enabled"
    again = http.post(redeliver).json()
    assert (again["status"], again["event_id"]) == ("pending", delivery["event_id"])
    assert http.post(f"{path}/deliveries/whd_absent/redeliver").status_code == 404


def test_a_key_that_only_reads_sees_no_endpoint(http: TestClient, state: AppState, project: Project) -> None:
    reader = {"authorization": f"Bearer {add_key(state.database, project.tenant, frozenset({'read'}))}"}
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/we_1"), ("GET", "/we_1/deliveries")):
        answer = http.request(method, f"/v1/webhook_endpoints{path}", headers=reader, json=ENDPOINT)
        assert answer.status_code == 403
    assert http.get("/v1/webhook_event_types", headers=reader).status_code == 200


def test_a_secret_is_rotated_without_a_body_too(http: TestClient, endpoint: str) -> None:
    path = f"/v1/webhook_endpoints/{endpoint}/rotate_secret"
    secrets = [http.post(path).json()["signing_secret"], http.post(path, json={}).json()["signing_secret"]]
    assert len(set(secrets)) == 2


def test_an_unchanged_update_does_not_count_as_a_change(
    http: TestClient, state: AppState, endpoint: str
) -> None:
    path = f"/v1/webhook_endpoints/{endpoint}"
    before = http.get(path).json()
    assert http.post(path, json={"name": "shop", "url": None}).json() == before
