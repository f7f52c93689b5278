"""Detects from a model's chat template how the model writes tool calls, which is the form in which it was
trained.

The template renders a few probe answers: with one call, with two, and with text and a call. The form is the
text around the probe's names and arguments. It is taken from the tokens of the rendering, so its bytes equal
those of generated tokens."""

import json
from dataclasses import dataclass
from typing import Any

from cluster.bases.text.chat_template import ChatTemplate
from cluster.bases.text.template_record import ARGUMENTS, IDS, NAMES, TOOLS, WORD, assistant_message
from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.errors import InvalidRequest

ID = "\0"
"""Placeholder in a form for the id of a call, which models generate."""


@dataclass(frozen=True)
class ToolForm:
    """The form of an answer with calls: `lead`? `opening` CALL (`between` CALL)* `closing`, with CALL = NAME
    `middle` OBJECT."""

    lead: str
    """Text that the template puts before every answer, with or without calls, after the end of the prompt."""
    opening: str
    middle: str
    closing: str
    between: str | None
    """Text between two calls; None if only one call is possible."""
    joint: str | None
    """Text between content and the following `opening`; None if calls never come with content."""
    marks: frozenset[int]
    """Special tokens in the form, which are hidden in other texts."""


def find_form(template: ChatTemplate, vocabulary: Vocabulary) -> ToolForm | None:
    """Returns the form; None if the template does not support tools, or writes calls other than as a name
    followed by JSON."""
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
        """Returns the rendering of this answer after the prompt, including special tokens. None if the
        template rejects it."""
        try:
            opening = self._template.opening
            before = self._rendered(opening, add_generation_prompt=True)
            whole = self._rendered(
                [*opening, assistant_message(content=content, calls=calls)], add_generation_prompt=False
            )
        except InvalidRequest:
            return None
        if not whole.startswith(before):
            return None
        answer = whole.removeprefix(before)
        for id_ in IDS:
            answer = answer.replace(id_, ID)
        return answer

    def _rendered(self, messages: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        token_ids = self._template.encode(
            self._template.render(messages, TOOLS, add_generation_prompt=add_generation_prompt)
        )
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
    """Drops the end of the turn. Some templates end a turn with calls differently from one with text, but
    always with an end token."""
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
