"""What browsers, proxies and health probes send and SDKs do not: HEAD, OPTIONS, and trailing slashes."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.state import AppState
from service.settings import Settings
from tests.api import LiveApi, Project, jsonl, with_settings

ORIGIN = "https://app.example.com"
OTHER = "https://elsewhere.example.com"


def paths_of(method: str) -> list[str]:
    routes = iter_route_contexts(create_app(Settings()).routes)
    return sorted(route.path for route in routes if method in route.methods)


@pytest.fixture
def ids(http: TestClient) -> dict[str, str]:
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id}).json()
    return {"file_id": file_id, "job_id": job["id"], "model": "base-1"}


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)[^}]*\}", lambda match: ids.get(match[1], "absent"), path)


def test_head_has_every_get_s_status_and_headers_and_no_body(http: TestClient, ids: dict[str, str]) -> None:
    own = {"x-request-id", "openai-processing-ms", "date"}
    for path in paths_of("GET"):
        got, head = http.get(filled(path, ids)), http.head(filled(path, ids))
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert [item for item in head.headers.items() if item[0] not in own] == [
            item for item in got.headers.items() if item[0] not in own
        ], path


def test_head_of_what_cannot_be_got_is_refused_as_get_is(http: TestClient) -> None:
    assert http.head("/v1/chat/completions").status_code == 405
    assert http.head("/v1/unknown").status_code == 404
    assert http.head("/v1/models/unknown").status_code == 404
    assert http.head("/v1/models", headers={"authorization": ""}).status_code == 401


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_head_of_a_stream_ends_at_once_and_its_connection_serves_on(live: LiveApi) -> None:
    job = live.openai().fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    headers = {"authorization": f"Bearer {live.project.key}"}
    with httpx2.Client(base_url=live.url, trust_env=False, timeout=300, headers=headers) as client:
        for _ in range(3):
            head = client.head(f"/v1/fine_tuning/jobs/{job.id}/events?stream=true")
            assert (head.status_code, head.headers["content-type"]) == (
                200,
                "text/event-stream; charset=utf-8",
            )
            assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_slash_at_the_end_changes_nothing(http: TestClient, ids: dict[str, str], method: str) -> None:
    for path in paths_of(method):
        # Some of these do not exist anymore, or cannot be created from nothing. What counts is that the route
        # answers.
        place = filled(path, ids if method == "GET" else dict.fromkeys(ids, "absent"))
        plain, slashed = http.request(method, place), http.request(method, f"{place}/")
        assert (slashed.status_code, slashed.content) == (plain.status_code, plain.content), path


def test_a_slash_opens_nothing_that_is_closed(http: TestClient) -> None:
    for path in ("/v1/", "/v1/models/", "/v1/files//"):
        assert http.get(path, headers={"authorization": ""}).status_code == 401, path
    assert http.get("/healthz/", headers={"authorization": ""}).status_code == 200


@pytest.fixture
def opened(state: AppState, project: Project) -> Iterator[TestClient]:
    """Like `http`, with CORS for ORIGIN."""
    state = with_settings(state, cors_origins=(ORIGIN,))
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        yield client


def preflight(client: TestClient, path: str, origin: str) -> Any:
    headers = {
        "origin": origin,
        "authorization": "",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }
    return client.options(path, headers=headers)


def test_no_page_may_call_the_api_unless_its_origin_is_set(http: TestClient) -> None:
    assert preflight(http, "/v1/chat/completions", ORIGIN).status_code == 401
    assert "access-control-allow-origin" not in http.get("/v1/models", headers={"origin": ORIGIN}).headers


def test_pages_of_a_set_origin_may_call_every_route_and_read_every_answer(
    opened: TestClient, ids: dict[str, str]
) -> None:
    for method in ("GET", "POST", "DELETE"):
        for path in paths_of(method):
            answer = preflight(opened, filled(path, ids), ORIGIN)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
            assert "x-stainless-lang" in answer.headers["access-control-allow-headers"]
            assert method in answer.headers["access-control-allow-methods"]
    for path, status in (
        ("/v1/models", 200),
        ("/v1/files/absent", 404),
        ("/v1/unknown", 404),
        ("/v1/a?b=%00", 400),
    ):
        answer = opened.get(path, headers={"origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
    unknown = opened.get("/v1/models", headers={"origin": ORIGIN, "authorization": ""})
    assert (unknown.status_code, unknown.headers["access-control-allow-origin"]) == (401, ORIGIN)


def test_pages_of_other_origins_may_not(opened: TestClient) -> None:
    assert preflight(opened, "/v1/models", OTHER).status_code == 400
    assert "access-control-allow-origin" not in opened.get("/v1/models", headers={"origin": OTHER}).headers


def test_origins_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().cors_origins == ()
    monkeypatch.setenv("TUNERY_CORS_ORIGINS", f"{ORIGIN}, {OTHER}")
    assert Settings().cors_origins == (ORIGIN, OTHER)
    monkeypatch.setenv("TUNERY_CORS_ORIGINS", "")
    assert Settings().cors_origins == ()
