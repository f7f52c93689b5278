"""Limits per minute as the unmodified openai SDK sees them."""

from collections.abc import Iterator

import httpx2
import openai
import pytest
from openai import OpenAI
from starlette.testclient import TestClient

from cluster.contracts.errors import ContextLengthExceeded, Unavailable
from service.api.app import create_app
from service.api.state import AppState
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED
from tests.api import LiveApi, Project, add_admin_key, add_encoder, listening
from tests.api import with_settings as changed

CHAT = {"model": "base-1", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def limited(state: AppState, project: Project) -> Iterator[LiveApi]:
    few = changed(state, project_requests_per_minute=3, project_tokens_per_minute=600)
    with listening(create_app(few.settings, open_state=lambda _: few)) as url:
        yield LiveApi(url, few, project)


def test_every_answer_says_where_the_caller_stands(limited: LiveApi) -> None:
    client = limited.openai()
    whole = client.chat.completions.with_raw_response.create(**CHAT, max_tokens=10)
    assert whole.headers["x-ratelimit-limit-requests"] == "3"
    assert whole.headers["x-ratelimit-remaining-requests"] == "2"
    assert whole.headers["x-ratelimit-reset-requests"] in {
        "20s",
        *(f"19.{n:03d}s".rstrip("0") for n in range(1000)),
    }
    assert whole.headers["x-ratelimit-limit-tokens"] == "600"
    assert whole.headers["x-ratelimit-remaining-tokens"] == "589"
    assert whole.parse().usage.total_tokens == 4
    streamed = client.completions.with_raw_response.create(model="base-1", prompt="hi", stream=True)
    assert int(streamed.headers["x-ratelimit-remaining-requests"]) == 1
    assert "".join(chunk.choices[0].text for chunk in streamed.parse()) == "Hello wörld"
    add_encoder(limited.state)
    embedded = client.embeddings.with_raw_response.create(model="encoder-1", input="hi")
    assert embedded.headers["x-ratelimit-remaining-requests"] == "2", "each base has its own limit"


def test_a_full_limit_is_a_rate_limit_error_that_says_when_to_retry(limited: LiveApi) -> None:
    client = limited.openai()
    for _ in range(3):
        client.chat.completions.create(**CHAT)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**CHAT)
    error = refused.value
    assert (error.status_code, error.code, error.type, error.param) == (
        429,
        "rate_limit_exceeded",
        "requests",
        None,
    )
    assert "on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in" in error.message
    headers = error.response.headers
    assert 1 <= int(headers["retry-after"]) <= 20
    assert 0 < int(headers["retry-after-ms"]) <= 30_000
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in headers


def test_the_sdk_waits_as_long_as_it_is_told(state: AppState, project: Project) -> None:
    few = changed(state, project_requests_per_minute=600)
    with listening(create_app(few.settings, open_state=lambda _: few)) as url:
        live = LiveApi(url, few, project)
        with few.database.write() as session:
            Limits(session).change(project.tenant.project_id, {"tokens_per_minute": 6000})
        spent = live.openai().completions.with_raw_response.create(model="base-1", prompt="x", max_tokens=1)
        assert spent.headers["x-ratelimit-limit-tokens"] == "6000"
        # 100 tokens refill in a second.
        patient = live.openai(max_retries=3)
        live.engine.pieces = ["x"] * 6050
        assert patient.completions.create(model="base-1", prompt="x", max_tokens=5).usage is not None
        live.engine.pieces = ["done"]
        answer = patient.completions.create(model="base-1", prompt="x", max_tokens=5)
        assert answer.choices[0].text == "done"


def test_a_request_that_never_fits_is_not_retried(limited: LiveApi) -> None:
    with pytest.raises(openai.RateLimitError) as refused:
        limited.openai(max_retries=5).completions.create(model="base-1", prompt="x", n=2, max_tokens=400)
    assert (refused.value.type, refused.value.code) == ("tokens", "rate_limit_exceeded")
    assert "Request too large for base-1" in refused.value.message
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.response.headers
    assert limited.engine.requests == []


@pytest.mark.parametrize("refusal", [ContextLengthExceeded("too long"), Unavailable("away")])
def test_tokens_of_refused_requests_do_not_count(limited: LiveApi, refusal: Exception) -> None:
    client = limited.openai()
    limited.engine.refusal = refusal  # type: ignore[assignment]
    with pytest.raises(openai.APIStatusError) as refused:
        client.completions.create(model="base-1", prompt="x", max_tokens=500)
    assert "x-ratelimit-remaining-tokens" in refused.value.response.headers
    limited.engine.refusal = None
    answered = client.completions.with_raw_response.create(model="base-1", prompt="x", max_tokens=500)
    assert int(answered.headers["x-ratelimit-remaining-tokens"]) >= 99


def test_all_prompts_of_a_request_are_admitted_together_or_not_at_all(limited: LiveApi) -> None:
    client = limited.openai()
    with pytest.raises(openai.RateLimitError, match="Requested 603"):
        client.completions.create(model="base-1", prompt=["a", "b", "c"], max_tokens=200)
    assert limited.engine.requests == []
    answer = client.completions.with_raw_response.create(model="base-1", prompt=["a", "b"], max_tokens=200)
    assert answer.headers["x-ratelimit-remaining-requests"] == "2"


def test_without_limits_there_are_no_headers_about_them(http: TestClient) -> None:
    answer = http.post("/v1/completions", json={"model": "base-1", "prompt": "x"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def admin(live: LiveApi) -> OpenAI:
    return live.openai(admin_api_key=add_admin_key(live.state.database, live.project.tenant))


def test_administrators_list_and_change_rate_limits_with_the_sdk(limited: LiveApi) -> None:
    add_encoder(limited.state)
    rate_limits = admin(limited).admin.organization.projects.rate_limits
    project_id = limited.project.tenant.project_id
    first, second = list(rate_limits.list_rate_limits(project_id, limit=1))
    assert (first.object, first.id, first.model) == ("project.rate_limit", "rl-base-1", "base-1")
    assert (first.max_requests_per_1_minute, first.max_tokens_per_1_minute) == (3, 600)
    assert second.model == "encoder-1"
    new = rate_limits.update_rate_limit("rl-base-1", project_id=project_id, max_tokens_per_1_minute=UNLIMITED)
    assert (new.max_requests_per_1_minute, new.max_tokens_per_1_minute) == (3, UNLIMITED)
    client = limited.openai()
    answer = client.completions.with_raw_response.create(model="base-1", prompt="x", max_tokens=400)
    assert "x-ratelimit-limit-tokens" not in answer.headers
    with pytest.raises(openai.BadRequestError) as unsupported:
        rate_limits.update_rate_limit("rl-base-1", project_id=project_id, max_images_per_1_minute=1)
    assert unsupported.value.code == "unsupported_parameter"
    reset = httpx2.delete(
        f"{limited.url}/v1/organization/projects/{project_id}/rate_limits/rl-base-1",
        headers={"authorization": f"Bearer {add_admin_key(limited.state.database, limited.project.tenant)}"},
        trust_env=False,
    ).json()
    assert reset["max_tokens_per_1_minute"] == 600
