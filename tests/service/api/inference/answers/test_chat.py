"""Chat answers that are cut off."""

import json
from typing import Any

import pytest

from cluster.contracts.generation import FinishEvent, GenerationEvent, PromptEvent, TextEvent, ToolCallEvent
from service.api.inference.answers.chat import ChatAnswer
from service.api.inference.answers.response_meta import ResponseMeta
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
