"""Chat answers that are cut off."""

import json
import weakref
from typing import Any

import pytest

from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    ReasoningEvent,
    TextEvent,
    TextPrompt,
    ToolCallEvent,
)
from service.api.inference.answers.chat import ChatAnswer, chat_answer
from service.api.inference.answers.response_meta import ResponseMeta
from service.api.schemas.chat import ChatCompletionBody
from tests.api import BASE
from tests.fakes import token

CUT = FinishEvent(index=0, reason="length", completion_tokens=1)


def _held_back(text: str = "") -> TextEvent:
    """A token whose text is, or might be, the markup of a call."""
    return TextEvent(index=0, text=text, completion_tokens=1, tokens=[token("<tool_call>")])


def _answered(events: list[GenerationEvent], *, has_tools: bool = True) -> tuple[Any, list[Any]]:
    """Returns the choice of the whole answer, and the parts of the stream's chunks."""
    meta = ResponseMeta("chatcmpl-1", 0, "m", "fp_1")
    answer = ChatAnswer(meta, n=1, wants_logprobs=True, wants_usage_chunk=False, has_tools=has_tools)
    chunks = [chunk for event in [PromptEvent(prompt_tokens=1), *events] for chunk in answer.add(0, event)]
    parts = [json.loads(chunk.model_dump_json(exclude_unset=True))["choices"][0] for chunk in chunks]
    return answer.whole().choices[0], parts


@pytest.mark.parametrize(
    "begun",
    [[], [ToolCallEvent(index=0, call=0, name="f", completion_tokens=1)]],
    ids=["before its name", "after its name"],
)
def test_a_call_that_is_cut_off_has_no_content(begun: list[GenerationEvent]) -> None:
    choice, parts = _answered([_held_back(), *begun, CUT])
    assert (choice.message.content, choice.finish_reason) == (None, "length")
    assert parts[0]["delta"] == {"role": "assistant", "content": None}
    assert all("content" not in part["delta"] for part in parts[1:])
    assert parts[-1]["finish_reason"] == "length"
    streamed = [
        one["token"] for part in parts for one in (part.get("logprobs") or {"content": []})["content"]
    ]
    assert streamed == [one.token for one in choice.logprobs.content] == ["<tool_call>"]


def test_an_answer_without_tools_always_has_a_content() -> None:
    choice, parts = _answered([_held_back(), CUT], has_tools=False)
    assert choice.message.content == ""
    assert parts[0]["delta"] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("is_call", [False, True])
def test_a_stream_keeps_no_log_probabilities_that_it_has_sent(is_call: bool) -> None:
    body = ChatCompletionBody.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "x"}], "logprobs": True, "stream": True}
    )
    request = GenerationRequest(id="1", model=ModelRef(base=BASE), prompt=TextPrompt(text="x"))
    answer = chat_answer(body, request, "m")
    answer.add(0, PromptEvent(prompt_tokens=1))
    sent = token("a")
    is_kept = weakref.ref(sent)
    if is_call:
        event: GenerationEvent = ToolCallEvent(index=0, call=0, name="f", completion_tokens=1, tokens=[sent])
    else:
        event = TextEvent(index=0, text="a", completion_tokens=1, tokens=[sent])
    (chunk,) = answer.add(0, event)
    assert chunk.choices[0].logprobs is not None
    del sent, event
    assert is_kept() is None


def test_reasoning_is_apart_from_content_and_its_log_probabilities() -> None:
    events: list[GenerationEvent] = [
        ReasoningEvent(index=0, text="", completion_tokens=1, tokens=[token("<think>")]),
        ReasoningEvent(index=0, text="Hm.", completion_tokens=2, tokens=[token("Hm.")]),
        TextEvent(index=0, text="4", completion_tokens=3, tokens=[token("4")]),
        FinishEvent(index=0, reason="stop", completion_tokens=3),
    ]
    choice, parts = _answered(events, has_tools=False)
    assert (choice.message.reasoning_content, choice.message.content) == ("Hm.", "4")
    assert [one.token for one in choice.logprobs.content] == ["4"]
    assert [part["delta"] for part in parts] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm."},
        {"content": "4"},
        {},
    ]
    choice, parts = _answered([events[0], *events[2:]], has_tools=False)
    assert "reasoning_content" not in choice.message.model_dump()
    assert all("reasoning_content" not in part["delta"] for part in parts)
