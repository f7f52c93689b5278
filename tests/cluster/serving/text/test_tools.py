"""Tool calls, on every engine."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import (
    ChatPrompt,
    GenerationEvent,
    GenerationRequest,
    ToolCallEvent,
    ToolUse,
)
from cluster.serving.limits import EngineLimits
from cluster.storage.local import LocalStore
from tests.cluster.serving.conftest import BACKENDS, Serve
from tests.cluster.serving.harness import Answer, Served
from tests.cluster.serving.scripted import make_scripted_base
from tests.cluster.serving.tool_templates import LIST_WITH_IDS, NO_TOOLS
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 4},
        "unit": {"enum": ["°C", "°F"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "f", "parameters": CITY}},
    {"type": "function", "function": {"name": "g"}},
]
CHAT = ChatPrompt(messages=[{"role": "user", "content": "Hi"}], tools=TOOLS)
TERSE = (
    "{%- for tool in tools or [] -%}{{- tool.function.name -}}{%- endfor -%}"
    "{%- for message in messages -%}{{- '<|' + message.role + '|>' + message.content -}}"
    "{%- for call in message.tool_calls or [] -%}"
    "{{- '@' + call.function.name + '=' + (call.function.arguments | tojson) -}}"
    "{%- endfor -%}{{- '<|end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
"""A form with calls of so few tokens that a scripted model can write one."""


@pytest.fixture(scope="module", params=BACKENDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A base with room for tools in its prompts."""
    folder = tmp_path_factory.mktemp("tools")
    base = make_tiny_base(folder / "base", context_length=1024)
    with BACKENDS[request.param](
        base, LocalStore(folder / "store"), folder / "cache", EngineLimits()
    ) as made:
        yield made


def _ask(served: Served, use: ToolUse | None, prompt: ChatPrompt = CHAT, **sampling: Any) -> Answer:
    return served.ask(served.request(prompt=prompt, tool_use=use, **{"max_tokens": 120, **sampling}))


async def _events(served: Served, request: GenerationRequest) -> list[GenerationEvent]:
    return [event async for event in served.engine.generate(request)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_required_calls_have_arguments_by_their_parameters(served: Served, temperature: float) -> None:
    use = ToolUse(names=["f"], is_required=True, is_parallel=False)
    answer = _ask(served, use, temperature=temperature, seed=2, n=3)
    assert set(answer.texts.values()) <= {""}
    assert {finish.reason for finish in answer.finishes.values()} == {"tool_calls"}
    for calls in answer.calls.values():
        for name, arguments in calls:
            assert name == "f"
            jsonschema.validate(json.loads(arguments), CITY)
    assert len(answer.calls) == 3


def test_a_single_call_ends_the_answer(served: Served) -> None:
    use = ToolUse(is_required=True, is_parallel=False)
    answer = _ask(served, use, temperature=1.5, seed=1, n=8)
    assert [len(calls) for calls in answer.calls.values()] == [1] * 8
    assert {calls[0][0] for calls in answer.calls.values()} == {"f", "g"}


def test_a_call_that_is_cut_off_ends_by_its_length(served: Served) -> None:
    answer = _ask(served, ToolUse(names=["f"], is_required=True), max_tokens=8)
    assert answer.finishes[0].reason == "length"
    assert answer.finishes[0].completion_tokens == 8
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|Invalid"):
        json.loads(answer.calls[0][0][1] if answer.calls else "")


def test_a_forced_call_sends_only_its_arguments_wherever_it_is_cut_off(served: Served) -> None:
    use = ToolUse(names=["f"], is_required=True, is_parallel=False)
    for max_tokens in range(1, 16):
        answer = _ask(served, use, max_tokens=max_tokens, n=2, seed=1, temperature=1)
        assert set(answer.texts.values()) <= {""}
        assert {finish.reason for finish in answer.finishes.values()} == {"length"}


def test_a_free_call_leaks_no_markup_where_it_is_cut_off(scripted: Any) -> None:
    served = scripted("ok@f={}")
    answers = [_ask(served, ToolUse(), max_tokens=length) for length in range(1, 6)]
    assert [answer.text for answer in answers] == ["o", *["ok"] * 4]
    assert [answer.finishes[0].reason for answer in answers] == ["length"] * 5


@pytest.mark.parametrize("is_strict", [True, False])
def test_calls_have_no_undeclared_arguments(served: Served, is_strict: bool) -> None:
    """For forced tools, strict or not."""
    parameters: dict[str, dict[str, Any]] = {
        "none": {"type": "object", "properties": {}},
        "some": {"properties": {"a": {"type": "boolean"}}},
    }
    tools = [
        {"type": "function", "function": {"name": name, "parameters": some, "strict": is_strict}}
        for name, some in parameters.items()
    ]
    prompt = ChatPrompt(messages=CHAT.messages, tools=tools)
    answer = _ask(served, ToolUse(is_required=True, is_parallel=False), prompt, temperature=1.5, seed=1, n=8)
    assert {finish.reason for finish in answer.finishes.values()} == {"tool_calls"}
    for ((name, arguments),) in answer.calls.values():
        assert json.loads(arguments).keys() <= parameters[name]["properties"].keys()


def test_a_call_that_violates_an_unenforceable_constraint_ends_in_an_error(served: Served) -> None:
    twice = {"type": "array", "items": {"const": "a"}, "minItems": 2, "maxItems": 2, "uniqueItems": True}
    parameters = {"properties": {"tags": twice}, "required": ["tags"]}
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    prompt = ChatPrompt(messages=CHAT.messages, tools=tools)
    with pytest.raises(InvalidRequest, match=r"call of 'f' .*items 0 and 1 are the same") as broken:
        _ask(served, ToolUse(is_required=True, is_parallel=False), prompt, max_tokens=300)
    assert (broken.value.code, broken.value.param) == ("schema_not_followed", "tools")


def test_every_token_of_a_call_has_its_log_probability(served: Served) -> None:
    answer = _ask(served, ToolUse(names=["g"], is_required=True, is_parallel=False), logprobs=0)
    sent = b"".join(bytes(token.bytes) for token in answer.tokens[0])
    assert "".join(sent.decode().split()) == "callg{}"
    assert len(answer.tokens[0]) == answer.finishes[0].completion_tokens


def test_the_pieces_of_arguments_come_as_they_are_written(served: Served) -> None:
    request = served.request(
        prompt=CHAT, tool_use=ToolUse(names=["f"], is_required=True, is_parallel=False), max_tokens=120
    )
    events = served.loop.run(_events(served, request))
    pieces = [event for event in events if isinstance(event, ToolCallEvent)]
    assert [piece.name for piece in pieces] == ["f", *[""] * (len(pieces) - 1)]
    assert len(pieces) > 5
    assert "\ufffd" not in "".join(piece.arguments for piece in pieces)
    jsonschema.validate(json.loads("".join(piece.arguments for piece in pieces)), CITY)
    counts = [getattr(event, "completion_tokens", 0) for event in events]
    assert counts == sorted(counts)


@pytest.fixture
def scripted(serve: Serve, tmp_path: Path) -> Any:
    def start(text: str) -> Served:
        return serve(base=make_scripted_base(tmp_path / "scripted", text, chat_template=TERSE))

    return start


def test_a_free_call_is_separated_from_its_text(scripted: Any) -> None:
    served = scripted("ok@f={}")
    answer = _ask(served, ToolUse())
    assert (answer.text, answer.calls[0], answer.finishes[0].reason) == ("ok", [("f", "{}")], "tool_calls")
    for use in (None, ToolUse(names=["g"])):
        answer = _ask(served, use)
        assert (answer.text, answer.calls, answer.finishes[0].reason) == ("ok@f={}", {}, "stop")


def test_text_without_calls_is_sent_whole(scripted: Any) -> None:
    answer = _ask(scripted("my@s=[]"), ToolUse())
    assert (answer.text, answer.calls, answer.finishes[0].reason) == ("my@s=[]", {}, "stop")


def test_a_strict_tool_enforces_its_parameters_in_a_free_answer(scripted: Any) -> None:
    strict = [{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}]  # type: ignore[dict-item]
    prompt = ChatPrompt(messages=CHAT.messages, tools=strict)
    answer = _ask(scripted("ok@f={}"), ToolUse(is_parallel=False), prompt)
    assert answer.text == "ok"
    ((name, arguments),) = answer.calls[0]
    assert name == "f"
    if answer.finishes[0].reason == "tool_calls":
        jsonschema.validate(json.loads(arguments), CITY)
    assert arguments.startswith("{")
    assert arguments != "{}"


def test_a_schema_applies_to_answers_without_calls(served: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"const": 1}},
        "required": ["a"],
        "additionalProperties": False,
    }
    answer = _ask(served, ToolUse(), json_schema=schema, temperature=1.5, seed=3, n=12)
    called = 0
    for index, finish in answer.finishes.items():
        if finish.reason == "tool_calls":
            called += 1
            assert answer.texts.get(index, "") == ""
        elif finish.reason == "stop":
            assert json.loads(answer.texts[index]) == {"a": 1}
    assert 0 < called < 12


def test_without_a_form_calls_are_text_and_cannot_be_forced(serve: Serve, tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "plain", chat_template=NO_TOOLS, context_length=1024)
    served = serve(base=base)
    answer = _ask(served, ToolUse(), max_tokens=5)
    assert answer.text
    assert not answer.calls
    with pytest.raises(InvalidRequest, match="no form of tool calls") as refused:
        _ask(served, ToolUse(is_required=True))
    assert (refused.value.code, refused.value.param) == ("tool_calls_not_supported", "tool_choice")


def test_the_built_in_model_calls_in_the_form_it_was_trained_in(serve: Serve) -> None:
    weather = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    prompt = ChatPrompt(
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[{"type": "function", "function": {"name": "get_weather", "parameters": weather}}],
    )
    source = BuiltinSource(name="tiny")
    base = BaseSpec(alias="tiny", source=source, context_length=1024, learning_rates={"lora": 1e-3})
    answer = _ask(serve(base=base), ToolUse(is_required=True), prompt)
    assert answer.calls == {0: [("get_weather", '{"city": "Paris"}')]}
    assert answer.text == ""


def test_calls_marked_by_a_special_token_are_found_though_it_is_not_text(
    serve: Serve, tmp_path: Path
) -> None:
    template = LIST_WITH_IDS.replace("<|calls|>", "<|tool|>")
    served = serve(base=make_tiny_base(tmp_path / "marked", chat_template=template, context_length=1024))
    answer = _ask(served, ToolUse(names=["g"], is_required=True, is_parallel=False))
    assert (answer.text, [name for name, _ in answer.calls[0]]) == ("", ["g"])
    assert answer.finishes[0].reason == "tool_calls"
    free = _ask(served, ToolUse(), max_tokens=5, logit_bias={5: 100.0})
    assert free.text == "<|tool|>" * 5, "a mark that begins no call is sent"
    assert _ask(served, None, max_tokens=5, logit_bias={5: 100.0}).text == ""


def test_forced_calls_do_not_affect_other_requests_in_the_batch(served: Served) -> None:
    free = served.request(seed=1, temperature=1.0, max_tokens=30)
    alone = served.ask(free.model_copy(update={"id": free.id + "-alone"}))
    forced = [
        served.request(
            prompt=CHAT, tool_use=ToolUse(is_required=True), temperature=1, seed=seed, max_tokens=60
        )
        for seed in range(3)
    ]
    together = served.ask_together([*forced, free])
    assert isinstance(together[3], Answer)
    assert together[3].texts == alone.texts
