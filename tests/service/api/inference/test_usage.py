"""`/v1/usage`, and the limits on floods of requests, over HTTP."""

from datetime import UTC, date, datetime, timedelta

import httpx2
import openai
import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.inference.usage_meter import UsageMeter
from service.api.state import AppState
from service.db.organization.api_keys import ApiKeys
from tests.api import LiveApi, Project, add_encoder, add_key, add_project, add_tuned_model, labels, listening
from tests.api import with_settings as changed
from tests.databases import on_both_databases

COMPLETION = {"model": "base-1", "prompt": ["a b", "c"]}


def flush(http: TestClient) -> None:
    assert http.portal is not None
    meter: UsageMeter = http.app.state.inference.usage  # type: ignore[attr-defined]
    http.portal.call(meter.flush)


def today() -> date:
    return datetime.now(UTC).date()


@on_both_databases
def test_usage_is_listed_by_day_key_and_model(state: AppState, http: TestClient, project: Project) -> None:
    before = today()
    encoder = add_encoder(state)
    upload = {"files": {"file": ("a.jsonl", labels())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": encoder, "training_file": file_id}).json()
    classifier, _ = add_tuned_model(state.database, job["id"])
    assert http.post("/v1/completions", json=COMPLETION).status_code == 200
    assert http.post("/v1/completions", json=COMPLETION | {"stream": True}).status_code == 200
    for body in ({"model": "base-1", "input": "hi"}, {"model": "base-1", "input": "hi", "stream": True}):
        assert http.post("/v1/responses", json=body).status_code == 200
    assert http.post("/v1/classifications", json={"model": classifier, "input": "x"}).status_code == 200
    assert http.post("/v1/embeddings", json={"model": encoder, "input": ["x", "y"]}).status_code == 200
    flush(http)
    answer = http.get("/v1/usage").json()
    assert answer["object"] == "list"
    if before == today():
        with state.database.read() as session:
            key_id = ApiKeys(session).authenticate(project.key).key_id
        common = {"object": "usage", "date": str(before), "api_key_id": key_id}
        expected = [
            common | {"model": "base-1", "requests": 4, "prompt_tokens": 8, "completion_tokens": 18},
            common | {"model": encoder, "requests": 1, "prompt_tokens": 6, "completion_tokens": 0},
            common | {"model": classifier, "requests": 1, "prompt_tokens": 3, "completion_tokens": 0},
        ]
        assert answer["data"] == expected
        assert http.get(f"/v1/usage?start={before}&end={before}").json()["data"] == expected
    last_week = before - timedelta(days=7)
    assert http.get(f"/v1/usage?start={last_week}&end={last_week}").json()["data"] == []


def test_another_projects_usage_is_absent(state: AppState, http: TestClient, project: Project) -> None:
    http.post("/v1/completions", json=COMPLETION)
    flush(http)
    assert http.get("/v1/usage").json()["data"]
    for organization_id in (None, project.tenant.organization_id):
        stranger = add_project(state.database, organization_id=organization_id)
        other = {"authorization": f"Bearer {stranger.key}"}
        assert http.get("/v1/usage", headers=other).json()["data"] == []


def test_usage_is_written_at_shutdown(state: AppState, project: Project) -> None:
    app = create_app(state.settings, open_state=lambda _: state)
    headers = {"authorization": f"Bearer {project.key}"}
    with TestClient(app, headers=headers) as http:
        http.post("/v1/completions", json=COMPLETION)
    with TestClient(app, headers=headers) as http:
        (used,) = http.get("/v1/usage").json()["data"]
    assert used["requests"] == 1


def test_usage_requires_the_read_scope(state: AppState, http: TestClient, project: Project) -> None:
    key = add_key(state.database, project.tenant, frozenset({"infer"}))
    assert http.get("/v1/usage", headers={"authorization": f"Bearer {key}"}).status_code == 403


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("start=yesterday", "start"),
        ("end=2026-02-30", "end"),
        ("start=2026-03-02&end=2026-03-01", "start"),
        ("start=2024-01-01&end=2026-01-01", "start"),
        ("start=9999-12-31", "start"),
    ],
)
def test_an_invalid_range_of_days_is_refused(http: TestClient, query: str, param: str) -> None:
    answer = http.get(f"/v1/usage?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_the_first_day_of_the_calendar_is_accepted(http: TestClient) -> None:
    assert http.get("/v1/usage?end=0001-01-01").json()["data"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_queue_is_429_with_the_limit_and_when_to_retry(state: AppState, project: Project) -> None:
    few = changed(state, max_running_choices=4, max_waiting_choices=1)
    with listening(create_app(few.settings, open_state=lambda _: few)) as url:
        live = LiveApi(url, few, project)
        client = live.openai()
        live.engine.stalls = True
        streams = [
            client.completions.create(model="base-1", prompt=["x", "y"], stream=True) for _ in range(2)
        ]
        with pytest.raises(openai.RateLimitError) as full:
            client.completions.create(model="base-1", prompt=["a", "b"])
        assert (full.value.code, full.value.type) == ("rate_limit_exceeded", "rate_limit_error")
        assert "at most 1 of a project may wait" in full.value.message
        assert int(full.value.response.headers["retry-after"]) >= 1
        live.engine.stalls = False
        for stream in streams:
            stream.close()
        assert client.completions.create(model="base-1", prompt="x").choices[0].text == "Hello wörld"


@pytest.mark.parametrize("path", ["completions", "chat/completions", "responses", "embeddings"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_request_to_a_full_queue_is_refused_before_it_is_read(
    state: AppState, project: Project, path: str
) -> None:
    few = changed(state, max_running_choices=1, max_waiting_choices=0)
    other = add_project(state.database)
    with listening(create_app(few.settings, open_state=lambda _: few)) as url:
        live = LiveApi(url, few, project)
        live.engine.stalls = True
        with live.openai().completions.create(model="base-1", prompt="x", stream=True):
            answers = [
                httpx2.post(
                    f"{url}/v1/{path}",
                    content=b"{",
                    headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
                    trust_env=False,
                )
                for key in (project.key, other.key, "nobody's")
            ]
    assert [answer.status_code for answer in answers] == [429, 429, 401]
    assert int(answers[0].headers["retry-after-ms"]) >= 1000


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_client_that_disconnects_while_waiting_never_reaches_the_engine(
    state: AppState, project: Project
) -> None:
    few = changed(state, max_running_choices=1)
    with listening(create_app(few.settings, open_state=lambda _: few)) as url:
        live = LiveApi(url, few, project)
        client = live.openai()
        live.engine.stalls = True
        stream = client.completions.create(model="base-1", prompt="x", stream=True)
        live.engine.requests.clear()
        with pytest.raises(openai.APITimeoutError):
            client.completions.create(model="base-1", prompt="left", timeout=0.2)
        assert httpx2.get(
            f"{url}/healthz", trust_env=False
        ).is_success  # so the server has noticed the disconnect
        live.engine.stalls = False
        stream.close()
        client.completions.create(model="base-1", prompt="stayed")
        assert [getattr(request.prompt, "text", "") for request in live.engine.requests] == ["stayed"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_too_long_a_wait_is_503(state: AppState, project: Project) -> None:
    few = changed(state, max_running_choices=1, queue_timeout_seconds=0.01)
    with listening(create_app(few.settings, open_state=lambda _: few)) as url:
        live = LiveApi(url, few, project)
        live.engine.stalls = True
        with live.openai().completions.create(model="base-1", prompt="x", stream=True):
            with pytest.raises(openai.InternalServerError) as late:
                live.openai().completions.create(model="base-1", prompt="y")
            assert (late.value.status_code, late.value.code) == (503, "queue_timeout")
            assert "retry-after" in late.value.response.headers
