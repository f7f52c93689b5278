"""The Responses API, through the unmodified openai SDK."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.lib.streaming.responses import ResponseStreamEvent
from openai.types.responses import ParsedResponse
from pydantic import BaseModel

from cluster.contracts.errors import ContextLengthExceeded, InvalidRequest, Overloaded, Unavailable
from cluster.contracts.generation import ChatPrompt, GenerationRequest, Sampling, ToolUse
from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PARAMETERS: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": PARAMETERS}
TIME: Any = {"type": "function", "name": "get_time", "strict": False}
TOOLS: Any = [WEATHER, TIME]
CALLS = [("get_weather", ['{"city": "P', 'aris"}']), ("get_time", ["{}"])]
LOGPROBS: Any = ["message.output_text.logprobs"]


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


@pytest.fixture
async def async_client(live: LiveApi) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{live.url}/v1", api_key=live.project.key, max_retries=0) as client:
        yield client


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _last(live: LiveApi) -> GenerationRequest:
    return live.engine.requests[-1]


def _prompt(live: LiveApi) -> ChatPrompt:
    prompt = _last(live).prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt


def test_a_text_is_answered_with_openais_object(live: LiveApi, client: OpenAI) -> None:
    answer = client.responses.create(model="base-1", input="hi")
    assert answer.output_text == "Hello wörld"
    assert answer.id.startswith("resp_")
    assert answer._request_id
    (message,) = answer.output
    assert message.to_dict() == {
        "id": f"msg_{answer.id.removeprefix('resp_')}0",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello wörld", "annotations": [], "logprobs": []}],
    }
    told = answer.to_dict()
    for changing in ("id", "created_at", "output"):
        assert told.pop(changing)
    assert told == {
        "object": "response",
        "status": "completed",
        "model": "base-1",
        "error": None,
        "incomplete_details": None,
        "usage": {
            "input_tokens": 1,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 4,
        },
        "background": False,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": None},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
    assert _last(live).sampling == Sampling()


def test_settings_reach_the_engine_as_those_of_a_chat_do(live: LiveApi, client: OpenAI) -> None:
    settings: Any = {"temperature": 0.5, "top_p": 0.9, "extra_body": {"top_k": 20, "min_tokens": 2}}
    client.responses.create(
        model="base-1", instructions="Be brief.", input="hi", max_output_tokens=30, **settings
    )
    answered = _last(live)
    asked: Any = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    client.chat.completions.create(model="base-1", messages=asked, max_completion_tokens=30, **settings)
    assert answered.model_copy(update={"id": ""}) == _last(live).model_copy(update={"id": ""})


def test_what_has_no_effect_is_accepted_and_told(client: OpenAI) -> None:
    told: Any = {
        "metadata": {"a": "b"},
        "user": "someone",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low", "summary": "auto"},
        "truncation": "disabled",
        "store": False,
        "background": False,
        "max_tool_calls": 3,
        "temperature": 0.25,
        "text": {"verbosity": "low"},
    }
    answer = client.responses.create(
        model="base-1",
        input="hi",
        service_tier="auto",
        include=["reasoning.encrypted_content"],
        stream_options={"include_obfuscation": True},
        **told,
    ).to_dict()
    told["text"]["format"] = {"type": "text"}
    assert {name: answer[name] for name in told} == told


def test_a_conversation_is_the_chats_conversation(live: LiveApi, client: OpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    items: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call", "call_id": "c2", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "rain"}],
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "Why?"},
    ]
    client.responses.create(model="base-1", input=items, tools=TOOLS)
    assert _prompt(live).messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        {"role": "tool", "content": "rain", "tool_call_id": "c2"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Why?"},
    ]
    functions: Any = [tool["function"] for tool in _prompt(live).tools or []]
    assert functions == [
        {"name": "get_weather", "parameters": PARAMETERS, "strict": True},
        {"name": "get_time", "strict": False},
    ]


def _types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def test_a_stream_tells_a_text_by_typed_events(live: LiveApi, client: OpenAI) -> None:
    events: Any = list(client.responses.create(model="base-1", input="hi", stream=True))
    assert _types(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].response.status, events[0].response.output, events[0].response.usage) == (
        "in_progress",
        [],
        None,
    )
    assert [event.delta for event in events[4:7]] == ["Hel", "lo", " wörld"]
    assert events[2].item.to_dict()["content"] == []
    assert (events[7].text, events[8].part.text) == ("Hello wörld", "Hello wörld")
    assert {event.item_id for event in events[3:9]} == {events[2].item.id}
    final = events[-1].response
    assert (final.status, final.output_text, final.usage.total_tokens) == ("completed", "Hello wörld", 4)
    assert final.output == [events[9].item]
    whole = client.responses.create(model="base-1", input="hi").to_dict()
    varying = ("id", "created_at", "output")
    told = final.to_dict()
    assert {k: v for k, v in told.items() if k not in varying} == {
        k: v for k, v in whole.items() if k not in varying
    }


def test_frames_are_named_and_there_is_no_done(live: LiveApi, client: OpenAI) -> None:
    with client.responses.with_streaming_response.create(model="base-1", input="hi", stream=True) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        frames = raw.read().decode().split("\n\n")
    assert frames.pop() == ""
    for one in frames:
        name, data = one.split("\n")
        assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")
    assert frames[-1].startswith("event: response.completed\n")


def test_the_sdks_own_stream_puts_the_response_together(client: OpenAI) -> None:
    with client.responses.stream(model="base-1", input="hi") as stream:
        events: list[ResponseStreamEvent[Any]] = list(stream)
        final = stream.get_final_response()
    assert final.output_text == "Hello wörld"
    snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
    assert snapshots == ["Hel", "Hello", "Hello wörld"]


@pytest.mark.anyio
async def test_the_asynchronous_sdk_answers_and_streams_alike(
    live: LiveApi, async_client: AsyncOpenAI
) -> None:
    answer = await async_client.responses.create(model="base-1", input="hi")
    assert answer.output_text == "Hello wörld"
    live.engine.calls = CALLS
    async with async_client.responses.stream(model="base-1", input="hi", tools=TOOLS) as stream:
        types = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert types[-1] == "response.completed"
    assert [item.type for item in final.output] == ["message", "function_call", "function_call"]


def test_a_tool_loop_sends_back_what_was_answered(live: LiveApi, client: OpenAI) -> None:
    live.engine.pieces, live.engine.calls = [], CALLS
    conversation: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = client.responses.create(model="base-1", input=conversation, tools=TOOLS)
    calls: Any = answer.output
    assert [(call.type, call.name, call.arguments, call.status) for call in calls] == [
        ("function_call", "get_weather", '{"city": "Paris"}', "completed"),
        ("function_call", "get_time", "{}", "completed"),
    ]
    assert len({call.call_id for call in calls} | {call.id for call in calls}) == 4
    assert _last(live).sampling.tool_use == ToolUse()
    assert answer.to_dict()["tools"][0]["strict"] is True  # type: ignore[index]
    conversation += answer.output
    conversation += [
        {"type": "function_call_output", "call_id": call.call_id, "output": "fine"} for call in calls
    ]
    live.engine.pieces, live.engine.calls = ["Sunny."], []
    assert client.responses.create(model="base-1", input=conversation, tools=TOOLS).output_text == "Sunny."
    asked, called, *results = _prompt(live).messages
    assert asked["role"] == "user"
    assert [call["id"] for call in called["tool_calls"]] == [call.call_id for call in calls]
    assert [result["tool_call_id"] for result in results] == [call.call_id for call in calls]


def test_a_stream_tells_calls_by_typed_events(live: LiveApi, client: OpenAI) -> None:
    live.engine.pieces, live.engine.calls = ["Let me", " see."], CALLS
    events: Any = list(client.responses.create(model="base-1", input="hi", tools=TOOLS, stream=True))
    assert _types(events)[2:] == [
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 2,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        *["response.function_call_arguments.delta"] * 2,
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    items = [event.item for event in events if event.type == "response.output_item.done"]
    assert events[-1].response.output == items
    assert [event.output_index for event in events if hasattr(event, "output_index")] == (
        [0] * 7 + [1] * 5 + [2] * 4
    )
    with client.responses.stream(model="base-1", input="hi", tools=TOOLS) as stream:
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["message", "function_call", "function_call"]


@pytest.mark.parametrize(
    ("choice", "use"),
    [
        ("required", ToolUse(is_required=True)),
        ({"type": "function", "name": "get_time"}, ToolUse(names=["get_time"], is_required=True)),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "get_weather"}],
            },
            ToolUse(names=["get_weather"]),
        ),
        ("none", None),
    ],
)
def test_a_choice_of_tools_is_the_chats(
    live: LiveApi, client: OpenAI, choice: Any, use: ToolUse | None
) -> None:
    answer = client.responses.create(model="base-1", input="hi", tools=TOOLS, tool_choice=choice)
    assert _last(live).sampling.tool_use == use
    assert answer.to_dict()["tool_choice"] == choice
    client.responses.create(model="base-1", input="hi", tools=TOOLS, parallel_tool_calls=False)
    assert _last(live).sampling.tool_use == ToolUse(is_parallel=False)


class Person(BaseModel):
    name: str
    age: int


def test_the_sdk_parses_an_answer_into_its_model(live: LiveApi, client: OpenAI) -> None:
    live.engine.pieces = ['{"name": "A', 'da", ', '"age": 36}']
    answer: ParsedResponse[Person] = client.responses.parse(model="base-1", input="hi", text_format=Person)
    assert answer.output_parsed == Person(name="Ada", age=36)
    schema = _last(live).sampling.json_schema
    assert schema
    assert schema["required"] == ["name", "age"]
    assert answer.to_dict()["text"]["format"]["schema"] == schema  # type: ignore[index]
    with client.responses.stream(model="base-1", input="hi", text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == Person(name="Ada", age=36)
    # What was parsed can be sent back.
    client.responses.create(model="base-1", input=[*answer.output, {"role": "user", "content": "And?"}])  # type: ignore[list-item]
    assert _prompt(live).messages[0]["content"] == '{"name": "Ada", "age": 36}'


def test_any_json_is_a_format_too(live: LiveApi, client: OpenAI) -> None:
    client.responses.create(model="base-1", input="Answer in JSON.", text={"format": {"type": "json_object"}})
    assert _last(live).sampling.json_schema == {"type": "object"}


def test_log_probabilities_come_with_the_text(live: LiveApi, client: OpenAI) -> None:
    options: Any = {"model": "base-1", "input": "hi", "include": LOGPROBS, "top_logprobs": 2}
    answer: Any = client.responses.create(**options)
    told = answer.output[0].content[0].logprobs
    assert [(one.token, one.logprob) for one in told] == [("Hel", -0.5), ("lo", -0.5), (" wörld", -0.5)]
    assert [(top.token, top.logprob) for top in told[0].top_logprobs] == [("<0>", -1.0), ("<1>", -2.0)]
    events: Any = list(client.responses.create(**options, stream=True))
    pieces = [one for event in events if event.type == "response.output_text.delta" for one in event.logprobs]
    assert [one.token for one in pieces] == ["Hel", "lo", " wörld"]
    assert events[-1].response.output[0].content[0].logprobs == told
    client.responses.create(model="base-1", input="hi", top_logprobs=2)
    assert _last(live).sampling.logprobs is None


def test_an_answer_that_is_cut_off_is_incomplete(live: LiveApi, client: OpenAI) -> None:
    live.engine.reason = "length"
    answer = client.responses.create(model="base-1", input="hi", max_output_tokens=3)
    assert answer.status == "incomplete"
    assert answer.incomplete_details
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output[0].to_dict()["status"] == "incomplete"
    assert answer.output_text == "Hello wörld"
    *_, done, last = client.responses.create(model="base-1", input="hi", max_output_tokens=3, stream=True)
    assert (done.type, last.type) == ("response.output_item.done", "response.incomplete")


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Overloaded("busy"), "rate_limit_exceeded"), (RuntimeError("secret"), "server_error")],
)
def test_a_fault_in_mid_stream_is_told_and_ends_the_response(
    live: LiveApi, client: OpenAI, fault: Exception, code: str
) -> None:
    live.engine.fault = fault
    *_, delta, error, failed = client.responses.create(model="base-1", input="hi", stream=True)
    assert (delta.type, error.type, failed.type) == (
        "response.output_text.delta",
        "error",
        "response.failed",
    )
    assert failed.type == "response.failed"
    assert failed.response.status == "failed"
    assert failed.response.error
    assert failed.response.error.code == code
    assert failed.response.output_text == "Hello"
    assert "secret" not in failed.to_json()


@pytest.mark.parametrize("stream", [False, True])
def test_an_engines_refusal_is_a_status_and_names_the_parameters_of_the_response(
    live: LiveApi, client: OpenAI, stream: bool
) -> None:
    options: Any = {"model": "base-1", "stream": stream}
    items = [{"type": "reasoning", "summary": []}, {"role": "user", "content": "hi"}]
    for refusal, param, message in (
        (ContextLengthExceeded("too long", param="messages"), "input", "too long"),
        (InvalidRequest("bad", param="messages[1]"), "input[1]", "bad"),
        (
            InvalidRequest("no 'response_format' here", param="response_format"),
            "text.format",
            "'text.format'",
        ),
        (InvalidRequest("bad", param="messages[0].content"), "instructions.content", "bad"),
        (InvalidRequest("bad", param="tools"), "tools", "bad"),
        (InvalidRequest("messages[0] and messages[1]", param="tools"), "tools", "instructions and input[1]"),
        (InvalidRequest("no messages[2]", param="messages[2]"), "messages[2]", "no messages[2]"),
        (InvalidRequest("no 'messages[0]'", param="a.messages[0]"), "a.messages[0]", "no 'messages[0]'"),
        (InvalidRequest("no $.messages[0]", param="tools"), "tools", "no $.messages[0]"),
        (InvalidRequest(f"no messages[{'1' * 5000}]", param="tools"), "tools", "no messages[111"),
    ):
        live.engine.refusal = refusal
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(input=items, instructions="Be brief.", **options)
        assert (refused.value.param, refused.value.code) == (param, refusal.code)
        assert message in refused.value.message
    live.engine.refusal = Unavailable("loading", retry_after_seconds=7)
    with pytest.raises(openai.InternalServerError) as unavailable:
        client.responses.create(input="hi", **options)
    assert unavailable.value.status_code == 503
    assert unavailable.value.response.headers["retry-after"] == "7"


def test_what_is_not_supported_is_refused_by_name(
    live: LiveApi, client: OpenAI, subtests: pytest.Subtests
) -> None:
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]
    output = {"type": "function_call_output", "call_id": "c9", "output": "x"}
    for changes, param, said in (
        ({"store": True}, "store", "stores no responses"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation"),
        ({"conversation": "conv_1"}, "conversation", "send the whole conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "stores no prompts"),
        ({"background": True}, "background", "lasts as long as its request"),
        ({"truncation": "auto"}, "truncation", "never dropped"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "'web_search'"),
        ({"tools": [WEATHER, WEATHER]}, "tools", "two functions named 'get_weather'"),
        ({"tool_choice": "required"}, "tool_choice", "only allowed when 'tools'"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "x"}}, "tool_choice", "names 'x'"),
        ({"tools": TOOLS, "tool_choice": {"type": "mcp", "server_label": "x"}}, "tool_choice.type", "mcp"),
        ({"input": image}, "input[0].content[0].type", "input_image"),
        ({"input": []}, "input", "empty array"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "stores no items"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input", "more than reasoning"),
        ({"input": [output]}, "input[0].call_id", "'c9'"),
        ({"text": {"format": {"type": "json_object"}}}, "input", "'text.format'"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}},
            "text.format.name",
            "pattern",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema", "Missing"),
        ({"include": ["file_search_call.results"]}, "include[0]", "message.output_text.logprobs"),
        ({"max_output_tokens": 0}, "max_output_tokens", "1"),
        ({"top_logprobs": 21}, "top_logprobs", "20"),
        ({"extra_body": {"top_k": -2}}, "top_k", "-1"),
        ({"extra_body": {"messages": []}}, "messages", "Unknown"),
    ):
        with subtests.test(changes=changes):
            with pytest.raises(openai.BadRequestError) as error:
                client.responses.create(**{"model": "base-1", "input": "hi", **changes})
            assert error.value.param == param
            assert error.value.code
            assert said in error.value.message
    assert live.engine.requests == []


def test_nothing_is_stored(client: OpenAI) -> None:
    answer = client.responses.create(model="base-1", input="hi")
    for absent in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError, match="stores no responses"):
            absent(answer.id)


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.responses.create(model="ft:base-1:other::12345678", input="hi")
    assert error.value.code == "model_not_found"
