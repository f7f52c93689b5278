"""Tool calls in chat completions, through the unmodified openai SDK."""

from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from cluster.contracts.generation import ToolUse
from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK: Any = [{"role": "user", "content": "What is the weather in Paris and Rome?"}]
PARAMETERS: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TIME: Any = {"type": "function", "function": {"name": "get_time"}}
TOOLS = [WEATHER, TIME]


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    live.engine.pieces = []
    live.engine.calls = [("get_weather", ['{"city": "P', 'aris"}']), ("get_time", ["{}"])]
    return live.openai()


def _named(name: str) -> Any:
    return {"type": "function", "function": {"name": name}}


def test_calls_are_a_part_of_the_message(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="base-1", messages=ASK, tools=TOOLS)
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls: Any = choice.message.tool_calls
    assert [(call.type, call.function.name, call.function.arguments) for call in calls] == [
        ("function", "get_weather", '{"city": "Paris"}'),
        ("function", "get_time", "{}"),
    ]
    assert all(call.id.startswith("call_") for call in calls)
    assert answer.usage
    assert answer.usage.completion_tokens == 5


@pytest.mark.parametrize(
    ("choice", "reason"),
    [("auto", "tool_calls"), ("required", "tool_calls"), (_named("get_weather"), "stop")],
)
def test_a_call_ends_with_stop_if_its_tool_was_named(client: OpenAI, choice: Any, reason: str) -> None:
    options: Any = {"model": "base-1", "messages": ASK, "tools": TOOLS, "tool_choice": choice}
    assert client.chat.completions.create(**options).choices[0].finish_reason == reason
    chunks = list(client.chat.completions.create(**options, stream=True))
    assert chunks[-1].choices[0].finish_reason == reason


def test_every_call_has_an_id_of_its_own(client: OpenAI) -> None:
    answers = [client.chat.completions.create(model="base-1", messages=ASK, tools=TOOLS, n=2) for _ in "12"]
    ids = [
        call.id for answer in answers for choice in answer.choices for call in choice.message.tool_calls or []
    ]
    assert len(ids) == len(set(ids)) == 8


def test_text_before_calls_is_the_content(live: LiveApi, client: OpenAI) -> None:
    live.engine.pieces = ["Let me", " see."]
    message = client.chat.completions.create(model="base-1", messages=ASK, tools=TOOLS).choices[0].message
    assert message.content == "Let me see."
    assert len(message.tool_calls or []) == 2


def test_a_stream_tells_a_call_by_its_name_and_then_its_arguments(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="base-1", messages=ASK, tools=TOOLS, stream=True))
    deltas: list[Any] = [chunk.to_dict()["choices"][0]["delta"] for chunk in chunks]  # type: ignore[index]
    ids = [delta["tool_calls"][0].pop("id", None) for delta in deltas if "tool_calls" in delta]
    assert [bool(id_) for id_ in ids] == [True, False, False, True, False]
    assert deltas == [
        {"role": "assistant", "content": None},
        {
            "tool_calls": [
                {"index": 0, "type": "function", "function": {"name": "get_weather", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "P'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'aris"}'}}]},
        {"tool_calls": [{"index": 1, "type": "function", "function": {"name": "get_time", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 6 + ["tool_calls"]


@pytest.mark.parametrize(("pieces", "content"), [([], None), (["Let me", " see."], "Let me see.")])
def test_a_streams_first_chunk_has_the_content_that_the_whole_answer_begins_with(
    live: LiveApi, client: OpenAI, pieces: list[str], content: str | None
) -> None:
    live.engine.pieces = pieces
    options: Any = {"model": "base-1", "messages": ASK, "tools": TOOLS, "n": 2, "logprobs": True}
    whole = client.chat.completions.create(**options)
    assert [choice.message.content for choice in whole.choices] == [content] * 2
    deltas: dict[int, list[Any]] = {0: [], 1: []}
    tokens: dict[int, list[str]] = {0: [], 1: []}
    for chunk in client.chat.completions.create(**options, stream=True):
        one: Any = chunk.to_dict()["choices"][0]  # type: ignore[index]
        deltas[one["index"]].append(one["delta"])
        tokens[one["index"]] += [
            token["token"] for token in (one.get("logprobs") or {"content": []})["content"]
        ]
    for index, choice in enumerate(whole.choices):
        assert deltas[index][0] == {"role": "assistant", "content": "" if content else None}
        assert "".join(delta.get("content") or "" for delta in deltas[index]) == (content or "")
        assert choice.logprobs
        assert tokens[index] == [token.token for token in choice.logprobs.content or []]


def test_a_text_of_a_chat_with_tools_streams_as_without(live: LiveApi, client: OpenAI) -> None:
    live.engine.pieces, live.engine.calls = ["Hel", "lo"], []
    for tools in ({"tools": TOOLS}, {}):
        options: Any = {"model": "base-1", "messages": ASK, "stream": True, **tools}
        deltas = [
            chunk.to_dict()["choices"][0]["delta"] for chunk in client.chat.completions.create(**options)
        ]
        assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}]


class GetWeather(BaseModel):
    city: str


def test_the_sdk_parses_arguments_whole_and_streamed(live: LiveApi, client: OpenAI) -> None:
    live.engine.calls = [("GetWeather", ['{"city": "P', 'aris"}'])]
    tools = [openai.pydantic_function_tool(GetWeather)]
    parsed = client.chat.completions.parse(model="base-1", messages=ASK, tools=tools)
    calls: Any = parsed.choices[0].message.tool_calls
    assert calls[0].function.parsed_arguments == GetWeather(city="Paris")
    with client.chat.completions.stream(model="base-1", messages=ASK, tools=tools, n=2) as stream:
        final = stream.get_final_completion()
    for choice in final.choices:
        streamed: Any = choice.message.tool_calls
        assert streamed[0].function.parsed_arguments == GetWeather(city="Paris")
        assert choice.finish_reason == "tool_calls"
    answer: Any = final.choices[0].message
    result: Any = {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "sunny"}
    client.chat.completions.create(model="base-1", messages=[*ASK, answer, result], tools=tools)
    prompt: Any = live.engine.requests[-1].prompt
    assert [one["role"] for one in prompt.messages] == ["user", "assistant", "tool"]


def test_a_conversation_goes_on_with_the_results_of_calls(live: LiveApi, client: OpenAI) -> None:
    message = client.chat.completions.create(model="base-1", messages=ASK, tools=TOOLS).choices[0].message
    results: Any = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls or []
    ]
    answer: Any = message
    client.chat.completions.create(model="base-1", messages=[*ASK, answer, *results], tools=TOOLS)
    prompt: Any = live.engine.requests[-1].prompt
    assert [one["role"] for one in prompt.messages] == ["user", "assistant", "tool", "tool"]
    assert prompt.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'


def test_log_probabilities_of_calls_are_there_too(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="base-1", messages=ASK, tools=TOOLS, logprobs=True)
    assert answer.choices[0].logprobs
    assert len(answer.choices[0].logprobs.content or []) == 5


def test_choices_of_tools_reach_the_engine(live: LiveApi, client: OpenAI, subtests: pytest.Subtests) -> None:
    some: Any = {"mode": "required", "tools": [_named("get_time")]}
    for changes, use in (
        ({}, ToolUse()),
        ({"tool_choice": "auto"}, ToolUse()),
        ({"tool_choice": "required"}, ToolUse(is_required=True)),
        ({"tool_choice": _named("get_time")}, ToolUse(names=["get_time"], is_required=True)),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": some}},
            ToolUse(names=["get_time"], is_required=True),
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {**some, "mode": "auto"}}},
            ToolUse(names=["get_time"]),
        ),
        ({"parallel_tool_calls": False}, ToolUse(is_parallel=False)),
        ({"tool_choice": "none"}, None),
    ):
        with subtests.test(changes=changes):
            client.chat.completions.create(**{"model": "base-1", "messages": ASK, "tools": TOOLS, **changes})
            received = live.engine.requests[-1]
            assert received.sampling.tool_use == use
            prompt: Any = received.prompt
            assert prompt.tools == (None if use is None else TOOLS)
    client.chat.completions.create(model="base-1", messages=ASK)
    assert live.engine.requests[-1].sampling.tool_use is None


def test_wrong_tools_and_choices_are_refused_by_name(
    live: LiveApi, client: OpenAI, subtests: pytest.Subtests
) -> None:
    huge: Any = {"type": "function", "function": {"name": "f", "parameters": {"enum": ["x" * 70_000]}}}
    for changes, param in (
        ({"tools": None, "tool_choice": "required"}, "tool_choice"),
        ({"tools": None, "tool_choice": _named("get_time")}, "tool_choice"),
        ({"tool_choice": _named("get_money")}, "tool_choice"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice.type"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [huge]}, "tools[0].function.parameters"),
        ({"tools": [_named("no spaces")]}, "tools[0].function.name"),
        ({"tools": [_named(f"f{n}") for n in range(129)]}, "tools"),
    ):
        with subtests.test(param=param, changes=str(changes)[:60]):
            with pytest.raises(openai.BadRequestError) as error:
                client.chat.completions.create(
                    **{"model": "base-1", "messages": ASK, "tools": TOOLS, **changes}
                )
            assert error.value.param == param
    assert live.engine.requests == []
