"""Input that is far too long for its model is rejected in the API."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.state import AppState
from tests.api import BASE, ENCODER, add_encoder
from tests.fakes import FakeEngine

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

LIMIT = BASE.context_length
LONG_TEXT = "a" * (256 * LIMIT + 1)
LONG_TOKENS = [7] * (LIMIT + 1)


@pytest.fixture
def engine(state: AppState) -> FakeEngine:
    assert isinstance(state.engine, FakeEngine)
    return state.engine


def _said(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _called_with(arguments: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]}


def _tool(description: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "description": description}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("completions", {"prompt": LONG_TOKENS}, "prompt"),
        ("completions", {"prompt": [7] * 300_000}, "prompt"),
        ("completions", {"prompt": [[7], LONG_TOKENS]}, "prompt"),
        ("completions", {"prompt": LONG_TEXT}, "prompt"),
        ("completions", {"prompt": ["a", LONG_TEXT]}, "prompt"),
        ("chat/completions", {"messages": [_said(LONG_TEXT)]}, "messages"),
        ("chat/completions", {"messages": [_said([{"type": "text", "text": LONG_TEXT}])]}, "messages"),
        ("chat/completions", {"messages": [_said("hi"), _called_with(LONG_TEXT)]}, "messages"),
        ("chat/completions", {"messages": [_said("hi")], "tools": [_tool(LONG_TEXT)]}, "messages"),
        ("responses", {"input": LONG_TEXT}, "input"),
        ("responses", {"input": [_said("hi")], "instructions": LONG_TEXT}, "input"),
        ("chat/completions", {"messages": [_said(LONG_TEXT[: len(LONG_TEXT) // 2 + 1])] * 2}, "messages"),
    ],
)
def test_a_prompt_that_cannot_fit_is_refused_before_anything_runs(
    http: TestClient, engine: FakeEngine, path: str, body: dict[str, Any], param: str, stream: bool
) -> None:
    answer = http.post(f"/v1/{path}", json={"model": BASE.alias, "stream": stream, **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", param)
    assert error["message"].startswith(f"This model's maximum context length is {LIMIT} tokens")
    assert all(request.prompt.kind != "chat" for request in engine.requests)
    assert len(engine.requests) <= 1, "but for the short one beside it"


def test_three_million_token_ids_are_refused(http: TestClient, engine: FakeEngine) -> None:
    content = b'{"model": "base-1", "prompt": [' + b"7," * 2_999_999 + b"7]}"
    answer = http.post("/v1/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert engine.requests == []


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (LONG_TOKENS, "input"),
        ([[7], LONG_TOKENS], "input[1]"),
        (LONG_TEXT, "input"),
        (["a", LONG_TEXT], "input[1]"),
    ],
)
def test_an_input_that_cannot_fit_is_refused_before_anything_runs(
    state: AppState, http: TestClient, engine: FakeEngine, given: Any, param: str
) -> None:
    model = add_encoder(state)
    assert ENCODER.context_length == LIMIT
    answer = http.post("/v1/embeddings", json={"model": model, "input": given})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", param)
    assert engine.embedded == []


def test_input_that_may_fit_is_left_to_the_engine(http: TestClient, engine: FakeEngine) -> None:
    for prompt in (LONG_TEXT[1:], LONG_TOKENS[1:]):
        assert http.post("/v1/completions", json={"model": BASE.alias, "prompt": prompt}).status_code == 200
    assert len(engine.requests) == 2
