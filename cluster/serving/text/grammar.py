"""Builds the grammar of a request, in llguidance's language. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import ToolUse
from cluster.serving.schemas.grammar_schema import MAX_PARTS, GrammarSchema, to_grammar_schema
from cluster.serving.schemas.references import SchemaError
from cluster.serving.text.checked import Checks
from cluster.serving.text.reasoning import ReasoningStart
from cluster.serving.text.tool_form import ID, ToolForm

_HEAD = '%llguidance {"no_forcing": true}\n'
"""Turns forcing off, so that text that can continue in only one way is still tokenized as the model chooses.
Finding the tokenizer's own tokens for it instead takes 50 ms per token if 60,000 characters are forced."""

_WHITE_SPACE = r"\x20|\x0A[\x20\x09]{0,40}"
"""Allowed once between the parts of a JSON value, because a weak model would repeat it for ever."""

GRAMMAR_CHARACTERS = 128 * 1024
"""Maximum length of a grammar, including the schemas of all tools."""

_ANY_ARGUMENTS = GrammarSchema({"type": "object"}, is_exact=True)
"""Arguments of a tool that is not strict: any object."""
_NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}
"""Parameters of a tool that declares none."""


@dataclass(frozen=True, slots=True)
class Grammar:
    text: str
    param: str
    """The parameter of the request that requires the grammar."""
    checks: Checks = field(default_factory=Checks)
    """Checks for what the grammar does not enforce."""


def json_grammar(
    schema: dict[str, Any],
    added_tokens: Mapping[str, int] | None = None,
    reasoning: ReasoningStart | None = None,
) -> Grammar:
    """Makes a grammar for an answer that, after any reasoning, is one JSON value according to `schema`.
    Numbers are doubles, exact up to 2^53. Raises InvalidRequest for an invalid schema."""
    translated = _translated(schema, "response_format")
    checks = Checks(answer=None if translated.is_exact else schema)
    lead = _Lead(reasoning, _Lark(added_tokens or {}))
    start = f"start: {lead.reasoning} {lead.answer} {_json(translated)}\n"
    return Grammar(_HEAD + start + "".join(f"{rule}\n" for rule in lead.rules), "response_format", checks)


def tools_grammar(
    form: ToolForm,
    tools: Sequence[Mapping[str, Any]],
    use: ToolUse,
    schema: dict[str, Any] | None,
    added_tokens: Mapping[str, int],
    reasoning: ReasoningStart | None = None,
) -> Grammar | None:
    """Makes a grammar for calls of these tools in the model's own form. Unless calls are required, it also
    allows a value according to `schema` or any text. All of them may follow reasoning. None if there is
    nothing to enforce: no required calls, no schema and no strict tool.

    Arguments of strict tools follow their parameters, and those of all tools if the answer can only be calls.
    `added_tokens` are the tokenizer's added tokens by text, which the form uses as in training. Raises
    InvalidRequest for an invalid schema, and as soon as all schemas together are too large.
    """
    functions = [tool["function"] for tool in tools]
    is_free = not use.is_required and schema is None
    if is_free and not any(function.get("strict") for function in functions):
        return None
    lark = _Lark(added_tokens)
    again = f"({lark.literal(form.between)} call)*" if form.between and use.is_parallel else ""
    rules = [
        f"calls: call {again} {lark.literal(form.closing)}",
        "call: " + " | ".join(f"call_{place}" for place in range(len(functions))),
    ]
    schemas = _Schemas()
    unchecked: dict[str, dict[str, Any]] = {}
    for place, function in enumerate(functions):
        parameters = function.get("parameters") or _NO_PARAMETERS
        is_loose = is_free and not function.get("strict")
        translated = _ANY_ARGUMENTS if is_loose else schemas.translated(parameters, "tools", is_object=True)
        if not translated.is_exact:
            unchecked[function["name"]] = parameters
        arguments = schemas.json(translated, "tools")
        rules.append(f"call_{place}: {lark.literal(function['name'] + form.middle)} {arguments}")
    lead = _Lead(reasoning, lark)
    if reasoning is None and form.lead:
        lead.reasoning = f"{lark.literal(form.lead)}?"
    answer = None
    if is_free:
        rules += _free_text(form, lark, lead)
    elif schema is None:
        rules.append(f"start: {lead.reasoning} {lark.literal(form.opening)} calls")
    else:
        translated = schemas.translated(schema, "response_format")
        answer = None if translated.is_exact else schema
        value = schemas.json(translated, "response_format")
        called, said = f"{lark.literal(form.opening)} calls", f"{lead.answer} {value}"
        rules.append(f"start: {lead.reasoning} ({called} | {said})")
    if not is_free or lead.answer:
        rules += lead.rules
    checks = Checks(answer, unchecked, form.lead)
    return Grammar(_HEAD + "\n".join(rules) + "\n", "tools" if schema is None else "response_format", checks)


class _Lead:
    """What may precede an answer or calls: reasoning, and the header of an answer."""

    def __init__(self, start: ReasoningStart | None, lark: "_Lark") -> None:
        self.reasoning = self.answer = ""
        self.rules: list[str] = []
        if start is None:
            return
        form = start.form
        self.answer = lark.literal(form.lead) if form.lead else ""
        if start.place == "after":
            return

        def is_text(part: str) -> bool:
            return not any(lark.names(mark, part) for mark in form.marks)

        # Special tokens are not text. If the closing is text, the shortest possible reasoning is matched.
        closed = f"thought[lazy]: THOUGHT {_quoted(form.closing)}"
        if not is_text(form.closing):
            closed = f"thought: THOUGHT {lark.literal(form.closing)}"
        self.rules = [closed, r"THOUGHT: /(.|\n)*/"]
        after = f" {_quoted(form.after)}?" if form.after else ""
        opening = _quoted(form.opening) if is_text(form.opening) else lark.literal(form.opening)
        self.reasoning = f"thought{after}" if start.place == "inside" else f"({opening} thought{after})?"


def _free_text(form: ToolForm, lark: "_Lark", lead: _Lead) -> list[str]:
    """Returns rules for any text in which only calls can follow `opening`."""
    is_text = not any(lark.names(mark, form.opening) for mark in form.marks)
    text, repeated = ("", "?") if form.joint is None else ("TEXT ", "*")
    start = f"start: (head calls){repeated} rest"
    if lead.answer:
        # The rule for text does not cover the special tokens of headers.
        start = f"start: {lead.reasoning} ((head calls){repeated} | {lead.answer} rest)"
    return [
        start,
        # Special tokens are not text. If the opening is text, the shortest text that ends in one is matched.
        f"head[lazy]: {text}{_quoted(form.opening)}"
        if is_text
        else f"head: {text}{lark.literal(form.opening)}",
        "rest: TEXT",
        r"TEXT: /(.|\n)*/",
    ]


class _Lark:
    """Writes literals as tokens."""

    def __init__(self, added_tokens: Mapping[str, int]) -> None:
        self._added_tokens = added_tokens
        longest_first = sorted(added_tokens, key=len, reverse=True)
        self._marks = re.compile("|".join(["\0", *map(re.escape, longest_first)]))

    def literal(self, text: str) -> str:
        """Returns a rule that matches exactly `text`, with any id in place of `ID`."""
        parts = []
        done = 0
        for mark in self._marks.finditer(text):
            parts += [_quoted(text[done : mark.start()]), self._mark(mark[0])]
            done = mark.end()
        return " ".join(filter(None, [*parts, _quoted(text[done:])])) or '""'

    def names(self, token: int, text: str) -> bool:
        """Whether the token is part of the text."""
        return f"<[{token}]>" in self.literal(text).split()

    def _mark(self, text: str) -> str:
        return "/[A-Za-z0-9]{9}/" if text == ID else f"<[{self._added_tokens[text]}]>"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""


class _Schemas:
    """Translates and writes the schemas of one request. They share the limits on parts and characters, so
    that a request with many costly schemas is refused after the first of them."""

    def __init__(self) -> None:
        self._num_parts = self._num_characters = 0

    def translated(self, schema: dict[str, Any], param: str, *, is_object: bool = False) -> GrammarSchema:
        result = _translated(schema, param, is_object=is_object)
        self._num_parts += result.num_parts
        if self._num_parts > MAX_PARTS:
            raise InvalidRequest(
                f"'{param}' cannot be followed: the request's schemas have more than {MAX_PARTS} schemas "
                "together where their references are followed.",
                code="unsupported_schema",
                param=param,
            )
        return result

    def json(self, translated: GrammarSchema, param: str) -> str:
        text = _json(translated)
        self._num_characters += len(text)
        if self._num_characters > GRAMMAR_CHARACTERS:
            raise InvalidRequest(
                f"The schemas up to '{param}' are more than {GRAMMAR_CHARACTERS} characters together in the "
                "grammar, where their references are followed.",
                param=param,
            )
        return text


def _translated(schema: dict[str, Any], param: str, *, is_object: bool = False) -> GrammarSchema:
    try:
        return _cached_translation(json.dumps(schema), is_object=is_object)
    except SchemaError as error:
        raise InvalidRequest(
            f"'{param}' cannot be followed: {error}.", code="unsupported_schema", param=param
        ) from error


@lru_cache(maxsize=64)
def _cached_translation(schema: str, *, is_object: bool) -> GrammarSchema:
    return to_grammar_schema(json.loads(schema), is_object=is_object)


def _json(translated: GrammarSchema) -> str:
    options = {"whitespace_pattern": _WHITE_SPACE, "lenient": False, "coerce_one_of": False}
    return "%json " + json.dumps({**translated.schema, "x-guidance": options})
