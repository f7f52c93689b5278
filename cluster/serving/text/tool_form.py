"""How a model writes calls of tools: found out from its own chat template, the form it was trained in.

The template renders a few made-up answers: with one call, with two, with text and a call. What stands around
the names and arguments that were put in is the form. It is taken from the rendering's tokens, so it has the
very bytes that generated tokens have.
"""

import json
from dataclasses import dataclass
from typing import Any

from cluster.bases.text.chat_template import ChatTemplate
from cluster.bases.text.template_record import ARGUMENTS, IDS, NAMES, TOOLS, WORD, assistant_message
from cluster.contracts.errors import InvalidRequest
from cluster.serving.text.vocabulary import Vocabulary

ID = "\0"
"""Stands in a form for the id of a call, of which models make up their own."""


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


def find_form(template: ChatTemplate, vocabulary: Vocabulary) -> ToolForm | None:
    """None if the template knows no tools, or writes calls in another way than with JSON after the name."""
    probes = _Probes(template, vocabulary)
    plain, one = probes.answer(content=WORD), probes.answer(calls=1)
    if plain is None or one is None or plain.count(WORD) != 1:
        return None
    lead, tail = plain.split(WORD)
    one = one.removeprefix(lead)
    opening, name, rest = one.partition(NAMES[0])
    place = _place_of_arguments(rest)
    if not name or not opening or ID in opening or place is None or NAMES[0] in rest:
        return None
    middle, ending = rest[: place[0]], rest[place[1] :]
    closing = _without_turn_end(ending, tail, template.record.end_tokens)
    if not middle or closing is None:
        return None
    call = middle + rest[place[0] : place[1]]
    return ToolForm(
        lead,
        opening,
        middle,
        closing,
        _between(probes.answer(calls=2), lead + opening + NAMES[0] + call, NAMES[1] + call + ending),
        _joint(probes.answer(content=WORD, calls=1), lead + WORD, opening + NAMES[0]),
        _marks(vocabulary, opening + middle + closing),
    )


class _Probes:
    def __init__(self, template: ChatTemplate, vocabulary: Vocabulary) -> None:
        self._template = template
        self._vocabulary = vocabulary

    def answer(self, *, content: str = "", calls: int = 0) -> str | None:
        """What follows the prompt in the rendering of this answer, special tokens too; None if the template
        does not take it."""
        try:
            opening = self._template.opening
            before = self._rendered(opening, asks=True)
            whole = self._rendered([*opening, assistant_message(content=content, calls=calls)], asks=False)
        except InvalidRequest:
            return None
        if not whole.startswith(before):
            return None
        answer = whole.removeprefix(before)
        for id_ in IDS:
            answer = answer.replace(id_, ID)
        return answer

    def _rendered(self, messages: list[dict[str, Any]], *, asks: bool) -> str:
        token_ids = self._template.encode(self._template.render(messages, TOOLS, asks=asks))
        return b"".join(map(self._vocabulary.token_bytes, token_ids)).decode(errors="replace")


def _place_of_arguments(text: str) -> tuple[int, int] | None:
    decoder = json.JSONDecoder()
    for start, character in enumerate(text):
        if character == "{":
            try:
                value, end = decoder.raw_decode(text, start)
            except ValueError:
                continue
            if value == ARGUMENTS:
                return start, end
    return None


def _without_turn_end(ending: str, tail: str, end_tokens: frozenset[str]) -> str | None:
    """Some templates end a turn with calls otherwise than one with text, but never without a token for it."""
    if tail and ending.endswith(tail):
        return ending.removesuffix(tail)
    places = [ending.index(token) for token in end_tokens if token in ending]
    return ending[: min(places)] if places else None


def _between(two: str | None, first: str, second: str) -> str | None:
    if two is None or not two.startswith(first) or not two.endswith(second):
        return None
    return two[len(first) : len(two) - len(second)] or None


def _joint(beside: str | None, text: str, call: str) -> str | None:
    if beside is None or not beside.startswith(text):
        return None
    joint, found, _ = beside.removeprefix(text).partition(call)
    return joint if found else None


def _marks(vocabulary: Vocabulary, form: str) -> frozenset[int]:
    return frozenset(id_ for text, id_ in vocabulary.added.items() if text in form) & vocabulary.special
