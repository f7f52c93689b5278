"""What a model can write under the grammars of tools, in every form of calls."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import jsonschema
import pytest

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import ToolUse
from cluster.serving.schemas.grammar_schema import to_grammar_schema
from cluster.serving.text.grammar import Grammar, tools_grammar
from cluster.serving.text.guidance import Guidance, Guide, Masks
from tests.cluster.serving.text.test_tool_calls import (
    SEVERAL,
    TEMPLATES,
    WITH_TEXT,
    _form,
    _joined,
    _reader,
    _tokenizer,
)

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 4},
        "days": {"type": "integer", "maximum": 9, "minimum": 0},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"enum": [42]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def _tool(name: str, parameters: dict[str, Any] | None, *, strict: bool | None = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, "strict": strict}}


TOOLS = [_tool("get", None), _tool("get_weather", CITY)]
ALL = [*TEMPLATES, "built-in"]


class Walk:
    """A growing text under a grammar."""

    def __init__(self, template: str, grammar: Grammar) -> None:
        tokenizer = _tokenizer(template)
        self.form = _form(template)
        self.vocabulary = Vocabulary(tokenizer)
        self.end = tokenizer.convert_tokens_to_ids("<|end|>")
        num_tokens = len(self.vocabulary)
        guidance = Guidance(self.vocabulary, num_tokens=num_tokens, stop_tokens=frozenset({self.end}))
        self.guide: Guide = guidance.start(grammar)
        self.masks = Masks(num_tokens)
        self.said = b""

    def allowed(self) -> list[int]:
        tokens: list[int] = self.masks.allowed([self.guide])[0].nonzero()[:, 0].tolist()
        return tokens

    def take(self, token: int) -> None:
        self.guide.accept(token)
        is_mark = token in self.form.marks
        self.said += self.vocabulary.token_bytes(token) if is_mark else self.vocabulary.text_bytes(token)

    def wander(self, seed: int, *, num_tokens: int = 3000) -> str:
        random = Random(seed)
        for _ in range(num_tokens):
            token = random.choice(self.allowed())
            if token == self.end:
                break
            self.take(token)
            if self.guide.must_end:
                break
        return self.said.decode()

    def can_say(self, text: str) -> bool:
        """Whether this text may follow, in some tokenization, and end there."""
        wanted = self.said + text.encode()
        while self.said != wanted:
            fitting = [
                token
                for token in self.allowed()
                if self._shown(token) and wanted.startswith(self.said + self._shown(token))
            ]
            if not fitting:
                return False
            self.take(max(fitting, key=lambda token: len(self._shown(token))))
        return self.guide.must_end or self.end in self.allowed()

    def _shown(self, token: int) -> bytes:
        return (
            self.vocabulary.token_bytes(token)
            if token in self.form.marks
            else self.vocabulary.text_bytes(token)
        )


def _walk(template: str, use: ToolUse, *, schema: dict[str, Any] | None = None, tools: Any = TOOLS) -> Walk:
    added = Vocabulary(_tokenizer(template)).added
    grammar = tools_grammar(_form(template), tools, use, schema, added)
    assert grammar is not None
    return Walk(template, grammar)


@pytest.mark.parametrize("template", ALL)
def test_only_required_calls_with_valid_arguments_can_be_generated(template: str) -> None:
    called = set()
    for seed in range(12):
        walk = _walk(template, ToolUse(is_required=True))
        text, calls = _joined(_read_whole(template, walk.wander(seed)))
        assert text in ("", walk.form.lead)
        assert calls
        for name, arguments in calls:
            called.add(name)
            if name == "get":
                assert json.loads(arguments) == {}
            else:
                jsonschema.validate(json.loads(arguments), CITY)
    assert called == {"get", "get_weather"}


def _read_whole(template: str, text: str) -> Any:
    reader = _reader(template)
    return [*reader.push(text), *reader.push("", is_last=True)]


@pytest.mark.parametrize("template", SEVERAL)
def test_several_calls_are_generated_only_where_allowed(template: str) -> None:
    def most(use: ToolUse) -> int:
        walks = [_walk(template, use, tools=TOOLS[:1]) for _ in range(12)]
        return max(
            len(_joined(_read_whole(template, walk.wander(seed)))[1]) for seed, walk in enumerate(walks)
        )

    assert most(ToolUse(is_required=True)) > 1
    assert most(ToolUse(is_required=True, is_parallel=False)) == 1


@pytest.mark.parametrize("template", ALL)
def test_with_a_schema_and_tools_the_model_may_choose_either(template: str) -> None:
    kinds = set()
    for seed in range(12):
        walk = _walk(template, ToolUse(), schema=SCHEMA)
        text, calls = _joined(_read_whole(template, walk.wander(seed)))
        kinds.add(bool(calls))
        if not calls:
            assert json.loads(text.removeprefix(walk.form.lead)) == {"answer": 42}
    assert kinds == {True, False}


@pytest.mark.parametrize("template", ALL)
def test_in_free_text_a_strict_tool_is_called_by_its_parameters(template: str) -> None:
    tools = [_tool("get", CITY), _tool("get_weather", CITY, strict=True)]
    form = _form(template)
    good = (
        form.opening
        + "get_weather"
        + form.middle
        + '{"city": "x", "days": 1}'
        + form.closing.replace("\0", "abcdefgh1")
    )
    assert _walk(template, ToolUse(), tools=tools).can_say(good)
    assert _walk(template, ToolUse(), tools=tools).can_say("any <text> at all {")
    assert not _walk(template, ToolUse(), tools=tools).can_say(good.replace('"days"', '"hours"'))
    assert not _walk(template, ToolUse(), tools=tools).can_say(form.opening + "nothing")
    loose = good.replace("get_weather", "get").replace('"days"', '"hours"')
    assert _walk(template, ToolUse(), tools=tools).can_say(loose)


@pytest.mark.parametrize("template", WITH_TEXT)
def test_a_strict_call_may_follow_a_text(template: str) -> None:
    form = _form(template)
    call = form.opening + "get_weather" + form.middle + '{"city": "x", "days": 1}' + form.closing
    tools = [_tool("get_weather", CITY, strict=True)]
    assert _walk(template, ToolUse(), tools=tools).can_say("Well." + (form.joint or "") + call)


def test_free_text_without_strict_tools_is_unconstrained() -> None:
    assert tools_grammar(_form("tagged lines"), TOOLS, ToolUse(), None, {}) is None


def test_unsupported_parameters_are_refused_for_the_tools() -> None:
    with pytest.raises(InvalidRequest, match="no finite value") as refused:
        _walk("tagged lines", ToolUse(is_required=True), tools=[_tool("get", {"$ref": "#"})])
    assert refused.value.param == "tools"


def _costly(title: str) -> dict[str, Any]:
    """10,000 parts: each property specializes the definition, which is therefore translated for each."""
    properties = {f"p{n}": {"type": "string"} for n in range(100)}
    places = {f"q{n}": {"$ref": "#/$defs/A", "properties": {f"p{n}": {"minLength": 1}}} for n in range(100)}
    return {"title": title, "properties": places, "$defs": {"A": {"properties": properties}}}


def _short(title: str) -> dict[str, Any]:
    """15,000 parts that leave hardly any text in the grammar."""
    return {"title": title, "properties": {"a": {"anyOf": [{"type": "null"}, *[False] * 15_000]}}}


@pytest.mark.parametrize(
    ("make", "limit", "num_translated"), [(_costly, "131072 characters", 1), (_short, "20000 schemas", 2)]
)
def test_schemas_of_all_tools_share_one_limit_and_none_is_translated_after_it(
    make: Callable[[str], dict[str, Any]], limit: str, num_translated: int
) -> None:
    assert to_grammar_schema(make("alone")).num_parts >= 10_000
    schemas = [make(f"{limit} {n}") for n in range(num_translated)]
    tools = [_tool(f"t{n}", schema, strict=True) for n, schema in enumerate(schemas)]
    # If this one were translated, it would be refused for another reason.
    tools.append(_tool("last", {"$ref": "#"}, strict=True))
    with pytest.raises(InvalidRequest, match=limit) as refused:
        tools_grammar(_form("tagged lines"), tools, ToolUse(), None, {})
    assert refused.value.param == "tools"


def test_special_tokens_of_a_form_are_generated_as_trained() -> None:
    walk = _walk("built-in", ToolUse(is_required=True))
    assert [walk.vocabulary.token_bytes(token) for token in walk.allowed()] == [b"<|tool_call|>"]
