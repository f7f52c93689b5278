"""Chat completions, through the unmodified openai SDK."""

from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from cluster.contracts.generation import ChatPrompt
from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK: Any = [{"role": "user", "content": "hi"}]
NO_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
"""Of `usage`, which code written for OpenAI's API reads without asking whether they are there."""


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def prompt_of(live: LiveApi) -> ChatPrompt:
    prompt = live.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt


def test_a_chat_completion_is_openais_object(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="base-1", messages=ASK)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", "base-1")
    choice = answer.choices[0]
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert choice.message.to_dict() == {"role": "assistant", "content": "Hello wörld", "refusal": None}
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3
    assert answer.usage.to_dict().items() >= NO_DETAILS.items()


def test_a_stream_opens_with_the_role_and_ends_with_reason_and_usage(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="base-1", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [chunk.to_dict()["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {"content": " wörld"},
        {},
    ]
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * 4 + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[-1].usage.to_dict().items() >= NO_DETAILS.items()
    assert all("usage" in chunk.to_dict() and chunk.usage is None for chunk in chunks[:-1])


def test_the_sdks_own_stream_accumulator_understands_the_chunks(client: OpenAI) -> None:
    with client.chat.completions.stream(model="base-1", messages=ASK, n=2, logprobs=True) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["Hello wörld"] * 2


def test_log_probabilities_have_tokens_bytes_and_alternatives(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="base-1", messages=ASK, logprobs=True, top_logprobs=2)
    assert answer.choices[0].logprobs
    content = answer.choices[0].logprobs.content or []
    assert [one.token for one in content] == ["Hel", "lo", " wörld"]
    assert content[2].bytes == list(" wörld".encode())
    assert [(top.token, top.logprob) for top in content[0].top_logprobs] == [("<0>", -1.0), ("<1>", -2.0)]
    bare = client.chat.completions.create(model="base-1", messages=ASK, logprobs=True)
    assert bare.choices[0].logprobs
    assert [one.top_logprobs for one in bare.choices[0].logprobs.content or []] == [[], [], []]


def test_messages_and_tools_reach_the_template(live: LiveApi, client: OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    call: Any = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages: Any = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "+1"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    client.chat.completions.create(model="base-1", messages=messages, tools=[tool], tool_choice="auto")
    messages[2].pop("content")
    assert prompt_of(live) == ChatPrompt(messages=messages, tools=[tool])
    client.chat.completions.create(model="base-1", messages=ASK, tools=[tool], tool_choice="none")
    assert prompt_of(live).tools is None


def test_functions_of_the_older_api_become_tools(live: LiveApi, client: OpenAI) -> None:
    messages: Any = [
        *ASK,
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}},
        {"role": "function", "name": "add", "content": "2"},
    ]
    client.chat.completions.create(model="base-1", messages=messages)
    called, answered = prompt_of(live).messages[1:]
    assert called["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    ]
    assert answered == {"role": "tool", "tool_call_id": "call_1", "content": "2"}


def test_both_names_of_the_token_limit_work_and_none_means_the_context(live: LiveApi, client: OpenAI) -> None:
    client.chat.completions.create(model="base-1", messages=ASK, max_tokens=3)
    client.chat.completions.create(model="base-1", messages=ASK, max_completion_tokens=4)
    client.chat.completions.create(model="base-1", messages=ASK)
    assert [request.sampling.max_tokens for request in live.engine.requests] == [3, 4, None]


def test_options_without_effect_are_accepted(client: OpenAI) -> None:
    client.chat.completions.create(
        model="base-1",
        messages=ASK,
        store=False,
        service_tier="auto",
        prompt_cache_key="k",
        safety_identifier="s",
        user="u",
        metadata={},
        parallel_tool_calls=True,
        response_format={"type": "text"},
        reasoning_effort="low",
    )


@pytest.mark.parametrize("name", ["store", "metadata"])
def test_what_would_store_an_answer_is_refused_by_name(live: LiveApi, client: OpenAI, name: str) -> None:
    value: Any = {"store": True, "metadata": {"a": "b"}}[name]
    with pytest.raises(openai.BadRequestError, match="stores no chat completions") as error:
        client.chat.completions.create(model="base-1", messages=ASK, **{name: value})
    assert (error.value.param, error.value.code) == (name, "unsupported_parameter")
    assert live.engine.requests == []


def _format(schema: dict[str, Any], *, name: str = "person") -> Any:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


def test_a_schema_of_the_response_reaches_the_engine(live: LiveApi, client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    client.chat.completions.create(model="base-1", messages=ASK, response_format=_format(schema))
    assert live.engine.requests[-1].sampling.json_schema == schema
    client.chat.completions.create(
        model="base-1", messages=ASK, response_format={"type": "json_schema", "json_schema": {"name": "any"}}
    )
    assert live.engine.requests[-1].sampling.json_schema == {"type": "object"}


def test_json_object_format_requires_the_word_json(live: LiveApi, client: OpenAI) -> None:
    client.chat.completions.create(
        model="base-1",
        messages=[{"role": "system", "content": [{"type": "text", "text": "Answer in JSON."}]}, *ASK],
        response_format={"type": "json_object"},
    )
    assert live.engine.requests[-1].sampling.json_schema == {"type": "object"}


class Person(BaseModel):
    name: str
    age: int


def test_the_sdk_parses_an_answer_into_its_model(live: LiveApi, client: OpenAI) -> None:
    live.engine.pieces = ['{"name": "A', "da", '", "age": 36}']
    answer = client.chat.completions.parse(model="base-1", messages=ASK, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
    schema = live.engine.requests[-1].sampling.json_schema
    assert schema
    assert schema["required"] == ["name", "age"]
    with client.chat.completions.stream(model="base-1", messages=ASK, response_format=Person) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


def test_unsupported_parameters_are_refused_by_name(
    live: LiveApi, client: OpenAI, subtests: pytest.Subtests
) -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]
    for changes, param in (
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": _format({}, name="a b")}, "response_format.json_schema.name"),
        ({"response_format": _format(_nested(65))}, "response_format.json_schema.schema"),
        ({"response_format": _format(_nested(600))}, "response_format.json_schema.schema"),
        ({"messages": []}, "messages"),
        ({"messages": image}, "messages[0].content[0].type"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"extra_body": {"chat_template": "{{ x }}"}}, "chat_template"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ):
        with subtests.test(changes=changes):
            with pytest.raises(openai.BadRequestError) as error:
                client.chat.completions.create(**{"model": "base-1", "messages": ASK, **changes})
            assert error.value.param == param
            assert error.value.code
    assert live.engine.requests == []
