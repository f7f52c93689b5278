"""What an API process counts about itself, as Prometheus reads it."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient

from cluster.contracts.errors import Overloaded, Unavailable
from service.api.state import AppState
from service.metrics.api import ApiMetrics
from service.metrics.generation import GenerationTimer
from tests.api import Project
from tests.fakes import FakeEngine

CHAT = {"model": "base-1", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def registry(http: TestClient) -> CollectorRegistry:
    return http.app.state.metrics.registry  # type: ignore[attr-defined]


def test_requests_are_counted_by_the_route_that_answers_them_and_never_by_what_a_client_invents(
    http: TestClient, registry: CollectorRegistry, project: Project
) -> None:
    for path in ("/v1/files/file-1", "/v1/files/file-2/", "/v1/models/ft:secret:model"):
        assert http.get(path).status_code == 404
    http.head("/v1/files")
    http.delete("/v1/embeddings")
    http.get("/v1/files", headers={"authorization": "Bearer wrong"})
    for number in range(20):
        http.get(f"/v1/invented-{number}")
        http.request(f"VERB{number}", "/v1/files")

    def count(method: str, route: str, status: str) -> float | None:
        labels = {"method": method, "route": route, "status": status}
        return registry.get_sample_value("tunery_http_requests_total", labels)

    assert count("GET", "/v1/files/{file_id}", "404") == 2
    assert count("HEAD", "/v1/files", "200") == 1
    assert count("DELETE", "/v1/embeddings", "405") == 1
    assert count("GET", "none", "401") == 1
    assert count("GET", "none", "404") == 20
    assert count("other", "/v1/files", "405") == 20
    assert registry.get_sample_value("tunery_http_requests_running") == 0
    exposed = generate_latest(registry).decode()
    for secret in ("file-1", "ft:secret", "invented", "VERB", project.key, project.tenant.project_id):
        assert secret not in exposed


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_counts_its_tokens_and_its_time_to_the_first(
    http: TestClient, registry: CollectorRegistry, stream: bool
) -> None:
    assert http.post("/v1/chat/completions", json={**CHAT, "stream": stream}).status_code == 200
    for name in ("first_token", "queue"):
        count = registry.get_sample_value(f"tunery_inference_{name}_seconds_count", {"base": "base-1"})
        assert count == 1, name
    for kind in ("prompt", "completion"):
        labels = {"base": "base-1", "kind": kind}
        tokens = registry.get_sample_value("tunery_inference_tokens_total", labels)
        assert tokens is not None
        assert tokens > 0
    assert registry.get_sample_value("tunery_inference_choices_running") == 0


def test_a_stream_that_breaks_off_counts_as_a_failure_although_its_status_was_200(
    state: AppState, http: TestClient, registry: CollectorRegistry
) -> None:
    assert isinstance(state.engine, FakeEngine)
    state.engine.fault = Unavailable("gone")
    assert http.post("/v1/chat/completions", json={**CHAT, "stream": True}).status_code == 200
    labels = {"base": "base-1", "code": "service_unavailable"}
    assert registry.get_sample_value("tunery_inference_failures_total", labels) == 1


def test_the_time_between_tokens_is_that_of_one_choice() -> None:
    registry = CollectorRegistry()
    times = iter([10.0, 10.5, 11.0, 13.0])
    timer = GenerationTimer(ApiMetrics(registry), "base-1", 2, clock=lambda: next(times))
    timer.note_turn()
    timer.note_token()
    timer.note_end(5, 10)  # two choices of 5 tokens each, 4 after the first, in 2 seconds

    def total(name: str) -> float | None:
        return registry.get_sample_value(f"tunery_inference_{name}_seconds_sum", {"base": "base-1"})

    assert [total(name) for name in ("queue", "first_token", "token")] == [0.5, 1.0, 0.5]


def test_a_request_that_never_had_its_turn_counts_no_time() -> None:
    registry = CollectorRegistry()
    timer = GenerationTimer(ApiMetrics(registry), "base-1", 1)
    timer.note_failure(Overloaded("full"))
    timer.note_end(0, 0)
    labels = {"base": "base-1", "code": "rate_limit_exceeded"}
    assert registry.get_sample_value("tunery_inference_failures_total", labels) == 1
    for name in ("queue", "first_token", "token"):
        assert registry.get_sample_value(f"tunery_inference_{name}_seconds_count", {"base": "base-1"}) is None


def test_the_public_port_does_not_serve_metrics(http: TestClient) -> None:
    assert http.get("/metrics").status_code == 404
    assert http.get("/metrics", headers={"authorization": ""}).status_code == 401
