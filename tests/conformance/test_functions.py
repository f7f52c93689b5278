"""`functions`, the predecessor of tools, in requests and answers. Through the unmodified openai SDK."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from cluster.contracts.generation import ToolUse
from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER: Any = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
TIME: Any = {"name": "get_time"}
NAMED: Any = {"name": "get_weather"}


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    live.engine.pieces = []
    live.engine.calls = [("get_weather", ['{"city": "P', 'aris"}'])]
    return live.openai()


def test_functions_reach_the_engine_as_tools(live: LiveApi, client: OpenAI, subtests: Any) -> None:
    tools = [{"type": "function", "function": function} for function in (WEATHER, TIME)]
    one = {"is_parallel": False}
    for choice, use in (
        (openai.omit, ToolUse(**one)),
        (None, ToolUse(**one)),
        ("auto", ToolUse(**one)),
        ("none", None),
        (NAMED, ToolUse(names=["get_weather"], is_required=True, **one)),
    ):
        with subtests.test(choice=choice):
            client.chat.completions.create(
                model="base-1", messages=ASK, functions=[WEATHER, TIME], function_call=choice
            )
            received: Any = live.engine.requests[-1]
            assert received.sampling.tool_use == use
            assert received.prompt.tools == (None if use is None else tools)


@pytest.mark.parametrize(("choice", "reason"), [("auto", "function_call"), (NAMED, "stop")])
def test_a_request_with_functions_is_answered_with_function_call(
    client: OpenAI, choice: Any, reason: str
) -> None:
    options: Any = {"model": "base-1", "messages": ASK, "functions": [WEATHER], "function_call": choice}
    whole = client.chat.completions.create(**options).choices[0]
    assert whole.message.to_dict() == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    assert whole.finish_reason == reason
    chunks = list(client.chat.completions.create(**options, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    calls = [delta.function_call for delta in deltas if delta.function_call]
    assert [(call.name, call.arguments) for call in calls] == [
        ("get_weather", ""),
        (None, '{"city": "P'),
        (None, 'aris"}'),
    ]
    assert all(delta.tool_calls is None for delta in deltas)
    assert chunks[-1].choices[0].finish_reason == reason


def test_an_answer_without_a_call_is_plain_text(live: LiveApi, client: OpenAI) -> None:
    live.engine.pieces, live.engine.calls = ["Sunny."], []
    choice = client.chat.completions.create(model="base-1", messages=ASK, functions=[WEATHER]).choices[0]
    assert choice.message.to_dict() == {"role": "assistant", "content": "Sunny.", "refusal": None}
    assert choice.finish_reason == "stop"


def test_a_conversation_with_function_messages_continues(live: LiveApi, client: OpenAI) -> None:
    options: Any = {"model": "base-1", "functions": [WEATHER]}
    message = client.chat.completions.create(messages=ASK, **options).choices[0].message
    result: Any = {"role": "function", "name": "get_weather", "content": "sunny"}
    for answer in (message, message.to_dict(), message.model_dump()):
        client.chat.completions.create(messages=[*ASK, answer, result], **options)  # type: ignore[list-item]
        prompt: Any = live.engine.requests[-1].prompt
        assert prompt.messages[1:] == [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ]


def test_invalid_functions_and_choices_are_refused_under_their_own_names(
    live: LiveApi, client: OpenAI
) -> None:
    tool: Any = {"type": "function", "function": TIME}
    for changes, param in (
        ({"functions": [WEATHER], "tools": [tool]}, "functions"),
        ({"functions": [WEATHER], "function_call": "auto", "tool_choice": "auto"}, "function_call"),
        ({"function_call": NAMED}, "function_call"),
        ({"functions": [TIME], "function_call": NAMED}, "function_call"),
        ({"functions": [TIME], "function_call": "required"}, "function_call"),
        ({"functions": [TIME, TIME]}, "functions"),
        ({"functions": [{"name": "no spaces"}]}, "functions[0].name"),
        ({"functions": [{"parameters": {}}]}, "functions[0].name"),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            client.chat.completions.create(**{"model": "base-1", "messages": ASK, **changes})
        assert error.value.param == param, changes
    assert live.engine.requests == []
