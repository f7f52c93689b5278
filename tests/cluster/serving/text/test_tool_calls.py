"""Finding the form of calls in templates, and calls in texts of these forms."""

import itertools
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from cluster.bases.text.chat_template import chat_template
from cluster.bases.text.control_tokens import Rendering
from cluster.bases.text.vocabulary import Vocabulary
from cluster.bases.tiny.recipe.export import WEIGHTS
from cluster.serving.text.tool_calls import CallArguments, CallBegun, CallReader, Content, ExpectedCalls, Part
from cluster.serving.text.tool_form import ToolForm, find_form
from tests.cluster.serving.tool_templates import FORMS, NO_TOOLS, PARAMETERS_AS_TAGS, SPECIAL
from tests.tiny_base import CHAT_TEMPLATE, make_tokenizer

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get", "get_weather", "set-it")
]
NAMES = tuple(str(tool["function"]["name"]) for tool in TOOLS)  # type: ignore[index]
TEMPLATES = {**FORMS, "plain words": CHAT_TEMPLATE}
WITH_TEXT = [*(name for name in TEMPLATES if name not in ("bare object", "list with ids")), "built-in"]
SEVERAL = [*(name for name in TEMPLATES if name != "bare object"), "built-in"]


@cache
def _tokenizer(template: str) -> Any:
    if template == "built-in":
        return AutoTokenizer.from_pretrained(WEIGHTS)
    tokenizer = make_tokenizer(chat_template=TEMPLATES.get(template, template))
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer


@cache
def _form(template: str) -> ToolForm:
    tokenizer = _tokenizer(template)
    form = find_form(chat_template(tokenizer), Vocabulary(tokenizer))
    assert form is not None
    return form


def _reader(template: str, *, is_parallel: bool = True, names: tuple[str, ...] = NAMES) -> CallReader:
    return CallReader(ExpectedCalls(_form(template), names, is_parallel))


def _written(name: str, content: str, calls: list[tuple[str, dict[str, Any]]]) -> str:
    """The answer as the template renders it for training, without the end of the turn."""
    tokenizer, form = _tokenizer(name), _form(name)
    vocabulary = Vocabulary(tokenizer)
    said = {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {
                "id": f"abcdefgh{n}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given)},
            }
            for n, (name, given) in enumerate(calls)
        ],
    }
    ask = [{"role": "user", "content": "hi"}]
    template = chat_template(tokenizer)
    before = template.render(ask, TOOLS, add_generation_prompt=True).text
    whole = template.render([*ask, said], TOOLS, add_generation_prompt=False).text
    token_ids = template.encode(Rendering(whole.removeprefix(before).removeprefix(form.lead)))
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    answer = token_ids[: token_ids.index(end)]
    shown = [
        vocabulary.token_bytes(token) if token in form.marks else vocabulary.text_bytes(token)
        for token in answer
    ]
    return b"".join(shown).decode()


def _read(reader: CallReader, pieces: list[str]) -> list[Part]:
    parts = [part for piece in pieces for part in reader.push(piece)]
    return [*parts, *reader.push("", is_last=True)]


def _joined(parts: list[Part]) -> tuple[str, list[tuple[str, str]]]:
    """The joined text and calls."""
    text = ""
    calls: list[tuple[str, str]] = []
    for part in parts:
        match part:
            case Content():
                text += part.text
            case CallBegun():
                assert part.call == len(calls)
                calls.append((part.name, ""))
            case CallArguments():
                name, arguments = calls[part.call]
                calls[part.call] = name, arguments + part.text
    return text, calls


def _cut(text: str, places: list[int]) -> list[str]:
    bounds = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(bounds)]


PLACES = st.lists(st.integers(0, 10**6), max_size=8)
CHARACTERS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('{}[]"\\\n<'), max_size=6
)
VALUES = st.recursive(
    CHARACTERS | st.integers() | st.none(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(CHARACTERS, some, max_size=3),
    max_leaves=5,
)
CALLS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.dictionaries(CHARACTERS, VALUES, max_size=3)), min_size=1, max_size=3
)


@pytest.mark.parametrize("template", [PARAMETERS_AS_TAGS, NO_TOOLS])
def test_a_template_without_json_calls_has_no_form(template: str) -> None:
    tokenizer = _tokenizer(template)
    assert find_form(chat_template(tokenizer), Vocabulary(tokenizer)) is None


def test_a_tokenizer_without_a_template_has_no_form() -> None:
    tokenizer = make_tokenizer(chat_template=None)
    assert find_form(chat_template(tokenizer), Vocabulary(tokenizer)) is None


@given(calls=CALLS, places=PLACES)
@pytest.mark.parametrize("template", [*TEMPLATES, "built-in"])
@settings(max_examples=60, deadline=None)
def test_calls_are_parsed_as_they_were_written(
    template: str, calls: list[tuple[str, dict[str, Any]]], places: list[int]
) -> None:
    if template not in SEVERAL:
        calls = calls[:1]
    text, found_calls = _joined(_read(_reader(template), _cut(_written(template, "", calls), places)))
    assert text == ""
    assert [(name, json.loads(arguments)) for name, arguments in found_calls] == calls


@given(calls=CALLS, content=st.text("abc <\n", min_size=1, max_size=12), places=PLACES)
@pytest.mark.parametrize("template", WITH_TEXT)
@settings(max_examples=60, deadline=None)
def test_text_before_calls_is_separated_from_them(
    template: str, calls: list[tuple[str, dict[str, Any]]], content: str, places: list[int]
) -> None:
    written = _written(template, content, calls)
    text, found_calls = _joined(_read(_reader(template), _cut(written, places)))
    # A joint that is also the end of the text cannot be distinguished from it.
    assert text in (content, content.removesuffix(_form(template).joint or ""))
    assert [(name, json.loads(arguments)) for name, arguments in found_calls] == calls


@given(text=st.text('call get{}"<t>\n|_ ', max_size=30), places=PLACES)
@pytest.mark.parametrize("template", [*TEMPLATES, "built-in"])
@settings(max_examples=60, deadline=None)
def test_text_without_calls_is_unchanged(template: str, text: str, places: list[int]) -> None:
    whole, found_calls = _joined(_read(_reader(template), [text]))
    assert _joined(_read(_reader(template), _cut(text, places))) == (whole, found_calls)
    if not found_calls:
        assert whole == text


@pytest.mark.parametrize("template", [*TEMPLATES, "built-in"])
def test_a_call_of_an_unexpected_tool_or_without_an_object_is_text(template: str) -> None:
    form = _form(template)
    for call in ("other" + form.middle + "{}", "get" + form.middle + "[]", "get" + form.middle + " nothing"):
        text = form.opening + call + form.closing
        assert _joined(_read(_reader(template), list(text))) == (text, [])


def test_text_is_held_back_only_while_it_may_begin_a_call() -> None:
    reader = _reader("tagged lines")
    said = [
        _joined(reader.push(piece))[0] for piece in ("Hello", " a <", "b> 1\n", "x", "\n<tool", "_calls>")
    ]
    assert said == ["Hello", " a ", "<b> 1", "\nx", "", "\n<tool_calls>"]
    reader = _reader("tagged lines")
    assert reader.push('<tool_call>\n{"name": "get') == []
    assert reader.push('", "arguments": ') == []
    assert reader.push("{") == [CallBegun(0, "get"), CallArguments(0, "{")]
    assert reader.push('"a": "}') == [CallArguments(0, '"a": "}')]
    assert reader.push('"}') == [CallArguments(0, '"}')]
    assert reader.push("}\n</tool_call>") == []


def test_a_bare_object_that_is_not_a_call_is_sent_as_soon_as_that_is_clear() -> None:
    reader = _reader("bare object")
    assert reader.push('{"nam') == []
    assert reader.push('es": 1}') == [Content('{"names": 1}')]
    assert reader.push('{"name": "get", "parameters": {}}') == [Content('{"name": "get", "parameters": {}}')]


@pytest.mark.parametrize("template", SEVERAL)
def test_only_one_call_is_read_without_parallel_calls(template: str) -> None:
    reader = _reader(template, is_parallel=False)
    written = _written(template, "", [("get", {"a": 1}), ("get", {"a": 2})])
    _, found_calls = _joined([part for character in written for part in reader.push(character)])
    assert found_calls == [("get", '{"a": 1}')]
    assert reader.is_done


@pytest.mark.parametrize("template", [*TEMPLATES, "built-in"])
def test_a_call_that_is_cut_off_is_sent_as_far_as_it_came(template: str) -> None:
    written = _written(template, "", [("get_weather", {"city": "Paris"})])
    for length in range(len(written)):
        text, found_calls = _joined(_read(_reader(template), [written[:length]]))
        if found_calls:
            assert text == ""
            assert found_calls[0][0] == "get_weather"
            assert written[:length].endswith(found_calls[0][1]) or found_calls[0][1] == '{"city": "Paris"}'
        else:
            assert text == written[:length]


@pytest.mark.parametrize("template", WITH_TEXT)
def test_markup_of_a_call_that_is_cut_off_is_not_text(template: str) -> None:
    whole = _written(template, "Well", [("get_weather", {"city": "Paris"})])
    markup = len(whole) - len(whole.removeprefix("Well"))
    for length in range(markup, len(whole)):
        reader = _reader(template)
        pieces = list(whole[:length])
        parts = [part for piece in pieces for part in reader.push(piece)]
        text, found_calls = _joined([*parts, *reader.push("", is_last=True, is_cut=True)])
        assert text.strip() == "Well"
        assert [name for name, _ in found_calls] in ([], ["get_weather"])


@pytest.mark.parametrize("template", [*TEMPLATES, "built-in"])
def test_nothing_around_required_calls_is_text_wherever_they_are_cut_off(template: str) -> None:
    form = _form(template)
    calls = [("get", {"a": 1}), ("get_weather", {"city": "Paris"})][: 2 if template in SEVERAL else 1]
    whole = form.lead + _written(template, "", calls)
    for length, is_cut in itertools.product(range(len(whole) + 1), (True, False)):
        reader = CallReader(ExpectedCalls(form, NAMES, is_parallel=True, is_required=True))
        parts = [part for character in whole[:length] for part in reader.push(character)]
        text, found_calls = _joined([*parts, *reader.push("", is_last=True, is_cut=is_cut)])
        assert text == ""
        assert [name for name, _ in found_calls] == [name for name, _ in calls][: len(found_calls)]
    assert [json.loads(arguments) for _, arguments in found_calls] == [given for _, given in calls]


def test_a_text_that_is_cut_off_keeps_its_white_space() -> None:
    reader = _reader("tagged lines")
    text, _ = _joined([*reader.push("Well\n"), *reader.push("", is_last=True, is_cut=True)])
    assert text == "Well\n"


@pytest.mark.parametrize("template", SEVERAL)
def test_markup_that_is_cut_off_between_calls_is_not_text(template: str) -> None:
    calls = [("get", {"a": 1}), ("get_weather", {"city": "Paris"})]
    written = _written(template, "", calls)
    first = written.index("1}") + 2
    for length in range(first, len(written)):
        text, found_calls = _joined(_read(_reader(template), [written[:length]]))
        assert text == ""
        assert found_calls[0] == ("get", '{"a": 1}')
