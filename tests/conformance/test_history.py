"""Clients send back what servers have answered, this one and others, as their SDKs serialize it."""

from typing import Any

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessage, ParsedChatCompletionMessage
from pydantic import BaseModel

from cluster.contracts.generation import ChatPrompt
from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK: Any = {"role": "user", "content": "hi"}
CALL: Any = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAID = {"role": "assistant", "content": "ho"}


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def seen(live: LiveApi, *messages: Any) -> list[dict[str, Any]]:
    """Returns the messages as the chat template gets them."""
    live.openai().chat.completions.create(model="base-1", messages=[ASK, *messages, ASK])
    prompt = live.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt.messages[1:-1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({**SAID, "annotations": [], "refusal": None, "audio": None, "function_call": None}, SAID),
        ({**SAID, "tool_calls": None, "name": None, "reasoning": None, "provider_fields": None}, SAID),
        ({**SAID, "annotations": [{"type": "url_citation", "url_citation": {}}]}, SAID),
        ({**SAID, "parsed": {"a": 1}}, SAID),
        ({**SAID, "reasoning_content": "well"}, {**SAID, "reasoning_content": "well"}),
        ({**SAID, "reasoning": "well"}, {**SAID, "reasoning_content": "well"}),
        ({**SAID, "reasoning": "a", "reasoning_content": "b"}, {**SAID, "reasoning_content": "b"}),
        ({"role": "assistant", "content": None, "refusal": "no"}, {"role": "assistant", "content": "no"}),
        ({**SAID, "refusal": "no"}, SAID),
        (
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "I am sorry: "}, {"type": "refusal", "refusal": "no"}],
            },
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "I am sorry: "}, {"type": "text", "text": "no"}],
            },
        ),
    ],
    ids=str,
)
def test_an_answer_can_be_sent_back(live: LiveApi, answer: Any, expected: Any) -> None:
    assert seen(live, answer) == [expected]


def test_every_dump_of_a_message_can_be_sent_back(live: LiveApi, client: OpenAI) -> None:
    message = client.chat.completions.create(model="base-1", messages=[ASK]).choices[0].message
    for dump in (message, message.to_dict(), message.model_dump(), message.model_dump(exclude_none=True)):
        assert seen(live, dump) == [{"role": "assistant", "content": "Hello wörld"}]
    full = ChatCompletionMessage(role="assistant", content="ho", annotations=[]).model_dump()
    assert seen(live, full) == [SAID]


class F(BaseModel):
    a: int


def test_a_parsed_message_with_calls_can_be_sent_back(live: LiveApi) -> None:
    call = {**CALL, "function": {**CALL["function"], "parsed_arguments": {"a": 1}}}
    message: Any = ParsedChatCompletionMessage[F].model_validate(
        {"role": "assistant", "content": None, "tool_calls": [call], "parsed": None}
    )
    result = {"role": "tool", "tool_call_id": "c", "content": "4", "name": "f"}
    for dump in (message, message.model_dump()):
        assert seen(live, dump, result) == [{"role": "assistant", "tool_calls": [CALL]}, result]
