"""Records what a base's chat template does, found out once by rendering a few conversations.

Templates differ in what they write around an answer, and many silently drop what they do not know: tools,
tool results, reasoning, a system message that is not the first one. Training and serving use the same
record."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cluster.contracts.errors import InvalidRequest

Dropped = Literal[
    "tools",
    "tool_calls",
    "parallel_calls",
    "tool_results",
    "system",
    "later_system",
    "system_after_others",
    "text_beside_calls",
    "reasoning",
    "reasoning_beside_calls",
    "think_block",
]

WORD = "Certainly"
ARGUMENTS = {"probe_key": "probe value"}
NAMES, IDS = ("probe_first", "probe_second"), ("probe0001", "probe0002")
TOOLS: list[dict[str, Any]] = [
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
    for name in NAMES
]
CALLS = [
    {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(ARGUMENTS)}}
    for name, id_ in zip(NAMES, IDS, strict=True)
]
_OTHER_VALUE = "another value of the probe"
_PARALLEL = [
    CALLS[0],
    {
        "id": IDS[1],
        "type": "function",
        "function": {"name": NAMES[1], "arguments": json.dumps({"probe_key": _OTHER_VALUE})},
    },
]
_THOUGHT = "Probing thought"
_SYSTEM = {"role": "system", "content": "Probing system"}
_LATER = {"role": "system", "content": "Probing later"}
_ASK = {"role": "user", "content": "Hello"}
_RESULT = "Probing result"

OPENINGS: tuple[list[dict[str, Any]], ...] = ([_ASK], [_SYSTEM, _ASK])
"""Messages that a conversation may start with. Some templates refuse a conversation without a system
message."""

RenderText = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None, bool], str]
"""Renders messages and tools, and optionally the header of an answer. Raises InvalidRequest if the template
refuses."""
FindControl = Callable[[str], list[tuple[str, int]]]
"""Finds the control tokens of a text in order, each with the position of its end."""


@dataclass(frozen=True, slots=True)
class TemplateRecord:
    header: str
    """The text before an answer: the template's generation prompt."""
    tail: str
    """What the template writes after an answer's text."""
    turn_ends: tuple[str, ...]
    """How answers end, with text or with calls: everything after them up to and including the control token
    that the model must generate to end its turn. Longest first; empty if the template ends answers without
    such a token."""
    end_tokens: frozenset[str]
    """The control tokens that end answers."""
    drops: frozenset[Dropped]
    """What the template drops without an error."""
    trims_answers: bool
    """Whether the template removes white space around an answer's text."""


def probe_template(
    render: RenderText, find_control: FindControl, special: frozenset[str], opening: list[dict[str, Any]]
) -> TemplateRecord:
    """Probes a template. `special` holds the control tokens that the tokenizer itself calls special;
    `opening` is a beginning that the template does not refuse."""
    probes = _Probes(render, opening)
    header = render(opening, None, True).removeprefix(render(opening, None, False))
    tail = probes.after(WORD, assistant_message(content=WORD)) or ""
    ends: dict[str, str] = {}
    if found := find_control(tail):
        token, end = found[0]
        ends[tail[:end]] = token
    # Calls are closed with separate tokens before the turn ends.
    after_call = probes.after(ARGUMENTS["probe_key"], assistant_message(calls=1), TOOLS) or ""
    if (found := find_control(after_call)) and found[-1][0] in special | set(ends.values()):
        ends[found[-1][0]] = found[-1][0]
    spaced = f" {WORD} "
    return TemplateRecord(
        header=header,
        tail=tail,
        turn_ends=tuple(sorted(ends, key=len, reverse=True)),
        end_tokens=frozenset(ends.values()),
        drops=frozenset(probes.dropped()),
        trims_answers=probes.shows([spaced], [*opening, assistant_message(content=spaced)]) is False,
    )


def assistant_message(*, content: str = "", calls: int = 0) -> dict[str, Any]:
    """Returns an answer with a text, the first of CALLS, or both."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    return message | {"tool_calls": CALLS[:calls]} if calls else message


class _Probes:
    def __init__(self, render: RenderText, opening: list[dict[str, Any]]) -> None:
        self._render = render
        self._opening = opening

    def after(self, text: str, answer: dict[str, Any], tools: list[Any] | None = None) -> str | None:
        """Returns what follows `text` in an answer's rendering; None if it is not there or the template
        refuses."""
        try:
            _, found, rest = self._render([*self._opening, answer], tools, False).rpartition(text)
        except InvalidRequest:
            return None
        return rest if found else None

    def shows(self, texts: list[str], messages: list[Any], tools: list[Any] | None = None) -> bool | None:
        """Whether all `texts` are in the rendering; None if the template refuses, which is never silent."""
        try:
            rendered = self._render(messages, tools, False)
        except InvalidRequest:
            return None
        return all(text in rendered for text in texts)

    def dropped(self) -> list[Dropped]:
        opening, call = self._opening, NAMES[0]
        called = [*opening, assistant_message(calls=1)]
        result = {"role": "tool", "tool_call_id": IDS[0], "name": call, "content": _RESULT}
        system, later = _SYSTEM["content"], _LATER["content"]
        said, thought = assistant_message(content=WORD), {"reasoning_content": _THOUGHT}
        block = assistant_message(content=f"<think>\n{_THOUGHT}\n</think>\n\n{WORD}")
        shown: dict[Dropped, list[bool | None]] = {
            "tools": [self.shows([call], opening, TOOLS)],
            "tool_calls": [self.shows([call, ARGUMENTS["probe_key"]], called, TOOLS)],
            "parallel_calls": [
                self.shows(
                    [ARGUMENTS["probe_key"], _OTHER_VALUE],
                    [*opening, assistant_message() | {"tool_calls": _PARALLEL}],
                    TOOLS,
                )
            ],
            "tool_results": [self.shows([_RESULT], [*called, result], TOOLS)],
            "system": [self.shows([system], [_SYSTEM, _ASK])],
            "later_system": [
                self.shows([later], [_SYSTEM, _LATER, _ASK]),
                self.shows([later], [_SYSTEM, _ASK, said, _LATER, _ASK]),
            ],
            "system_after_others": [
                self.shows([later], [_ASK, _LATER, _ASK]),
                self.shows([later], [_ASK, said, _LATER, _ASK]),
            ],
            "text_beside_calls": [
                self.shows([WORD, call], [*opening, assistant_message(content=WORD, calls=1)], TOOLS)
            ],
            "reasoning": [self.shows([_THOUGHT], [*opening, said | thought])],
            "reasoning_beside_calls": [self.shows([_THOUGHT], [*opening, called[-1] | thought], TOOLS)],
            "think_block": [self.shows([_THOUGHT], [*opening, block])],
        }
        return [name for name, found in shown.items() if False in found]
