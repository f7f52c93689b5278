"""How a model writes calls of tools: found out from its own chat template, the form it was trained in.

The template renders a few made-up answers: with one call, with two, with text and a call. What stands around
the names and arguments that were put in is the form. It is taken from the rendering's tokens, so it has the
very bytes that generated tokens have.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.bases.chat_template import encode_rendered, render_text
from cluster.contracts.errors import InvalidRequest
from cluster.serving.text.vocabulary import Vocabulary

ID = "\0"
"""Stands in a form for the id of a call, of which models make up their own."""

_WORD = "Certainly"
_ARGUMENTS = {"probe_key": "probe value"}
_NAMES, _IDS = ("probe_first", "probe_second"), ("probe0001", "probe0002")
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Probes.",
            "parameters": {
                "type": "object",
                "properties": {"probe_key": {"type": "string"}},
                "required": ["probe_key"],
            },
        },
    }
    for name in _NAMES
]
_CALLS = [
    {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(_ARGUMENTS)}}
    for name, id_ in zip(_NAMES, _IDS, strict=True)
]


@dataclass(frozen=True)
class ToolForm:
    """`lead`? `opening` CALL (`between` CALL)* `closing`, with NAME `middle` OBJECT as CALL."""

    lead: str
    """What the template puts before every answer, calls or not, after the prompt has ended."""
    opening: str
    middle: str
    closing: str
    between: str | None
    """None if there can be one call only."""
    joint: str | None
    """Between a text and the `opening` after it; None if calls never come with a text."""
    marks: frozenset[int]
    """Special tokens in it, which are hidden in other texts."""


def find_form(tokenizer: Any, vocabulary: Vocabulary) -> ToolForm | None:
    """None if the template knows no tools, or writes calls in another way than with JSON after the name."""
    probes = _Probes(tokenizer, vocabulary)
    plain, one = probes.answer(content=_WORD), probes.answer(calls=1)
    if plain is None or one is None or plain.count(_WORD) != 1:
        return None
    lead, tail = plain.split(_WORD)
    one = one.removeprefix(lead)
    opening, name, rest = one.partition(_NAMES[0])
    place = _place_of_arguments(rest)
    if not name or not opening or ID in opening or place is None or _NAMES[0] in rest:
        return None
    middle, ending = rest[: place[0]], rest[place[1] :]
    closing = _without_turn_end(ending, tail, tokenizer.eos_token or "")
    if not middle or closing is None:
        return None
    call = middle + rest[place[0] : place[1]]
    return ToolForm(
        lead,
        opening,
        middle,
        closing,
        _between(probes.answer(calls=2), lead + opening + _NAMES[0] + call, _NAMES[1] + call + ending),
        _joint(probes.answer(content=_WORD, calls=1), lead + _WORD, opening + _NAMES[0]),
        _marks(tokenizer, opening + middle + closing),
    )


class _Probes:
    def __init__(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary

    def answer(self, *, content: str = "", calls: int = 0) -> str | None:
        """What follows the prompt in the rendering of this answer, special tokens too; None if the template
        does not take it."""
        ask = [{"role": "user", "content": "Hello"}]
        said: dict[str, Any] = {"role": "assistant", "content": content}
        if calls:
            said["tool_calls"] = _CALLS[:calls]
        try:
            before = self._rendered(ask, add_generation_prompt=True)
            whole = self._rendered([*ask, said], add_generation_prompt=False)
        except InvalidRequest:
            return None
        if not whole.startswith(before):
            return None
        answer = whole.removeprefix(before)
        for id_ in _IDS:
            answer = answer.replace(id_, ID)
        return answer

    def _rendered(self, messages: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        text = render_text(self._tokenizer, messages, _TOOLS, add_generation_prompt=add_generation_prompt)
        (token_ids,) = encode_rendered(self._tokenizer, [text])
        return b"".join(map(self._vocabulary.token_bytes, token_ids)).decode(errors="replace")


def _place_of_arguments(text: str) -> tuple[int, int] | None:
    decoder = json.JSONDecoder()
    for start, character in enumerate(text):
        if character == "{":
            try:
                value, end = decoder.raw_decode(text, start)
            except ValueError:
                continue
            if value == _ARGUMENTS:
                return start, end
    return None


def _without_turn_end(ending: str, tail: str, end_token: str) -> str | None:
    """Some templates end a turn with calls otherwise than one with text, but never without a token for it."""
    if tail and ending.endswith(tail):
        return ending.removesuffix(tail)
    return ending.partition(end_token)[0] if end_token and end_token in ending else None


def _between(two: str | None, first: str, second: str) -> str | None:
    if two is None or not two.startswith(first) or not two.endswith(second):
        return None
    return two[len(first) : len(two) - len(second)] or None


def _joint(beside: str | None, text: str, call: str) -> str | None:
    if beside is None or not beside.startswith(text):
        return None
    joint, found, _ = beside.removeprefix(text).partition(call)
    return joint if found else None


def _marks(tokenizer: Any, form: str) -> frozenset[int]:
    added: Mapping[int, Any] = tokenizer.added_tokens_decoder
    return frozenset(id_ for id_, token in added.items() if token.special and token.content in form)
