"""A key that sends requests in a loop is slowed down, and no other one is."""

import pytest
from starlette.testclient import TestClient

from cluster.contracts.errors import RateLimited
from service.api.app import create_app
from service.api.http.request_rates import RequestRates
from service.api.state import AppState
from tests.api import Project, add_key, with_settings


def test_a_bucket_refills_steadily_and_each_key_has_its_own() -> None:
    seconds = 0.0
    rates = RequestRates(60, "requests", clock=lambda: seconds)
    for _ in range(60):
        rates.admit("a")
    with pytest.raises(RateLimited) as refused:
        rates.admit("a")
    assert refused.value.retry_after_seconds == 1.0
    rates.admit("b")
    seconds += 2.0
    rates.admit("a")
    rates.admit("a")
    with pytest.raises(RateLimited):
        rates.admit("a")
    seconds += 3600.0
    for _ in range(60):
        rates.admit("a")
    with pytest.raises(RateLimited):
        rates.admit("a")


def test_unlimited_rates_and_a_flood_of_keys() -> None:
    rates = RequestRates(None, "requests")
    for _ in range(1000):
        rates.admit("a")
    rates = RequestRates(1, "requests")
    for number in range(20_000):
        rates.admit(f"{number}")
    with pytest.raises(RateLimited):
        rates.admit("19999")


def test_only_requests_that_are_not_for_models_count(state: AppState, project: Project) -> None:
    limited = with_settings(state, key_requests_per_minute=3)
    chat = {"model": "base-1", "messages": [{"role": "user", "content": "x"}]}
    with TestClient(create_app(limited.settings, open_state=lambda _: limited)) as http:
        headers = {"authorization": f"Bearer {project.key}"}
        for _ in range(5):
            assert http.post("/v1/chat/completions", json=chat, headers=headers).status_code == 200
        answers = [http.get("/v1/fine_tuning/jobs", headers=headers) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].json()["error"]["code"] == "rate_limit_exceeded"
        assert int(answers[3].headers["retry-after"]) > 0
        other = {"authorization": f"Bearer {add_key(state.database, project.tenant, frozenset({'read'}))}"}
        assert http.get("/v1/fine_tuning/jobs", headers=other).status_code == 200


def test_requests_to_models_count_if_they_are_refused(state: AppState, project: Project) -> None:
    limited = with_settings(state, key_requests_per_minute=3)
    chat = {"model": "base-1", "messages": [{"role": "user", "content": "x"}]}
    with TestClient(create_app(limited.settings, open_state=lambda _: limited)) as http:
        headers = {"authorization": f"Bearer {project.key}"}

        def status(**changes: object) -> int:
            return http.post("/v1/chat/completions", json=chat | changes, headers=headers).status_code

        assert [status(), status(temperature=9), status(model="absent"), status(n=-1)] == [200, 400, 404, 400]
        answer = http.post("/v1/chat/completions", json=chat, headers=headers)
        assert answer.status_code == 429
        assert "for refused requests to models of" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) > 0
        assert http.get("/v1/fine_tuning/jobs", headers=headers).status_code == 200
