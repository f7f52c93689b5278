"""Responses whose items change in mid-answer, or that end early."""

from typing import Any

import pytest

from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    PromptEvent,
    Sampling,
    TextEvent,
    ToolCallEvent,
)
from service.api.inference.answers.chat import ChatAnswer
from service.api.inference.answers.response_answer import ResponseAnswer
from service.api.inference.answers.response_meta import ResponseMeta
from service.api.schemas.base import ApiError
from service.api.schemas.responses import ModelResponse, ResponsesBody
from tests.fakes import token

TOLD = ApiError(message="gone", type="server_error", param=None, code="service_unavailable")


def _answered(events: list[GenerationEvent], *, has_tools: bool = True) -> tuple[ResponseAnswer, list[Any]]:
    """Returns the answer, and the events that have been streamed."""
    meta = ResponseMeta("chatcmpl-1", 0, "m", "fp_1")
    chat = ChatAnswer(meta, n=1, wants_logprobs=True, wants_usage_chunk=False, has_tools=has_tools)
    body = ResponsesBody.model_validate({"model": "m", "input": "hi"})
    answer = ResponseAnswer(body, chat, Sampling(max_tokens=None), id_="1", model="m")
    return answer, [event for one in [PromptEvent(prompt_tokens=1), *events] for event in answer.add(0, one)]


def _text(text: str, *tokens: str, n: int = 1) -> TextEvent:
    return TextEvent(index=0, text=text, completion_tokens=n, tokens=[token(one) for one in tokens])


def _call(name: str = "", arguments: str = "", *tokens: str) -> ToolCallEvent:
    return ToolCallEvent(
        index=0,
        call=0,
        name=name,
        arguments=arguments,
        completion_tokens=1,
        tokens=[token(one) for one in tokens],
    )


def _finish(reason: Any = "stop") -> FinishEvent:
    return FinishEvent(index=0, reason=reason, completion_tokens=1)


def _output(response: ModelResponse) -> list[tuple[str, str, str]]:
    return [
        (item.type, item.status, item.content[0].text if item.type == "message" else item.arguments)
        for item in response.output
    ]


def test_text_after_a_call_is_a_message_of_its_own() -> None:
    answer, _ = _answered([_text("a"), _call("f"), _call(arguments="{}"), _text("b"), _text("c"), _finish()])
    whole = answer.whole()
    assert _output(whole) == [
        ("message", "completed", "a"),
        ("function_call", "completed", "{}"),
        ("message", "completed", "bc"),
    ]
    assert [item.id for item in whole.output] == ["msg_10", "fc_11", "msg_12"]


def test_an_answer_that_is_cut_off_has_one_incomplete_item() -> None:
    answer, events = _answered([_text("a"), _call("f"), _call(arguments='{"x'), _finish("length")])
    assert _output(answer.whole()) == [("message", "completed", "a"), ("function_call", "incomplete", '{"x')]
    assert events[-1].item.status == "incomplete"
    (last,) = answer.last_chunks()
    assert last.type == "response.incomplete"


@pytest.mark.parametrize(("has_tools", "output"), [(True, []), (False, [("message", "completed", "")])])
def test_an_empty_answer_has_a_text_only_without_tools(has_tools: bool, output: list[Any]) -> None:
    answer, _ = _answered([_finish()], has_tools=has_tools)
    assert _output(answer.whole()) == output


def test_log_probabilities_are_those_of_the_text_alone() -> None:
    events: list[GenerationEvent] = [
        _text("", "<held>"),
        _text("ab", "b"),
        _call("f", "", "f"),
        _call("", "{}", "{}"),
        _finish(),
    ]
    answer, told = _answered(events)
    message, _ = answer.whole().output
    assert message.type == "message"
    assert [one.token for one in message.content[0].logprobs] == ["<held>", "b"]
    deltas = [event for event in told if event.type == "response.output_text.delta"]
    assert [one.token for event in deltas for one in event.logprobs] == ["<held>", "b"]


def test_a_failed_response_keeps_what_was_said_and_counts_nothing() -> None:
    answer, events = _answered([_text("a")])
    error, failed = answer.failure(TOLD)
    assert (error.type, failed.type) == ("error", "response.failed")
    assert failed.sequence_number == len(events) + 1
    response = failed.response  # type: ignore[attr-defined]
    assert (response.status, response.error.code, response.usage) == ("failed", "server_error", None)
    assert _output(response) == [("message", "incomplete", "a")]
