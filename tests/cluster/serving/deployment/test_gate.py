"""Authorization, routing and errors of the applications, without Ray."""

import asyncio
import json
import logging
import re

import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from cluster.contracts.generation import ErrorEvent
from cluster.serving.deployment.gate import Gate, Handler, json_answer, parse_body

TOKEN = "a-token-for-the-cluster"


class Question(BaseModel):
    number: int


def ask(handler: Handler, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Response:
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", TOKEN)

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/ask",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
    }
    return asyncio.run(Gate({("POST", "ask"): handler}).answer(Request(scope, receive)))


async def _echo(request: Request) -> Response:
    return json_answer(await parse_body(Question, request))


def test_a_request_that_cannot_be_read_is_the_callers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(ask(_echo, b'{"number": 3}', monkeypatch).body) == {"number": 3}
    refused = ask(_echo, b'{"number": "many"}', monkeypatch)
    assert refused.status_code == 400
    assert ErrorEvent.model_validate_json(refused.body).error == "InvalidRequest"


def test_a_validation_error_in_a_handler_is_an_internal_error_with_an_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise a bug in the compiler would refuse a valid job for ever."""

    async def stumble(request: Request) -> Response:
        await parse_body(Question, request)
        return json_answer(Question.model_validate({"number": "many"}))

    with caplog.at_level(logging.ERROR):
        refused = ask(stumble, b'{"number": 3}', monkeypatch)
    event = ErrorEvent.model_validate_json(refused.body)
    assert (refused.status_code, event.error) == (500, "InternalError")
    (error_id,) = re.findall("err_[0-9a-f]{16}", event.message)
    assert error_id in caplog.text
    assert "ValidationError" in caplog.text
