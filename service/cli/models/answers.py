"""Prints the answers of one or several models to the same conversation while they are written."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from service.cli.http.together import run_together
from service.cli.remote import Api

_PATH = "/chat/completions"
_SECONDS = 600.0
"""Maximum seconds between tokens: the model may have to be loaded first."""
Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class ChatRequest:
    """Requests to the same models with the same sampling options."""

    models: list[str]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """A piece of a model's output: of its answer, or of the reasoning before it."""

    text: str
    is_reasoning: bool = False


def answers_at_once(api: Api, request: ChatRequest, messages: Messages) -> list[dict[str, Any]]:
    """Returns the API's complete answers, in the order of the models."""
    bodies = [{"model": model, "messages": messages, **request.options} for model in request.models]
    return [api.http.json("POST", _PATH, json=body, timeout=_SECONDS) for body in bodies]


def streamed_answers(api: Api, request: ChatRequest, messages: Messages) -> list[str]:
    """Prints the answers as they are written: side by side on a terminal, otherwise one after the other.
    Reasoning is dimmed above the answer side by side, and otherwise goes to stderr. Returns the answers,
    without reasoning, in the order of the models."""
    if len(request.models) == 1:
        return [_printed(stream(api, request, request.models[0], messages))]
    if sys.stdout.isatty():
        return _side_by_side(api, request, messages)
    found = []
    for model in request.models:
        print(f"# {model}", flush=True)
        found.append(_printed(stream(api, request, model, messages)))
    return found


def stream(api: Api, request: ChatRequest, model: str, messages: Messages) -> Iterator[Piece]:
    """Yields an answer's reasoning and text. Raises CommandFailed, also for an error in the middle of it."""
    body = {"model": model, "messages": messages, **request.options, "stream": True}
    for event in api.http.events("POST", _PATH, json=body, timeout=_SECONDS):
        for choice in event.data.get("choices") or ():
            yield from _pieces_of(choice["delta"])


def _pieces_of(delta: dict[str, Any]) -> Iterator[Piece]:
    calls = [call["function"].get("arguments") or "" for call in delta.get("tool_calls") or ()]
    if reasoning := delta.get("reasoning_content"):
        yield Piece(reasoning, is_reasoning=True)
    if text := (delta.get("content") or "") + "".join(calls):
        yield Piece(text)


def _printed(pieces: Iterator[Piece]) -> str:
    said = []
    stderr = Console(stderr=True, highlight=False)
    is_reasoning = False
    for piece in pieces:
        if is_reasoning and not piece.is_reasoning:
            stderr.print()
        is_reasoning = piece.is_reasoning
        if is_reasoning:
            stderr.print(Text(_shown(piece.text), style="dim"), end="", soft_wrap=True)
        else:
            said.append(piece.text)
            print(_shown(piece.text), end="", flush=True)
    if is_reasoning:
        stderr.print()
    print(flush=True)
    return "".join(said)


def _side_by_side(api: Api, request: ChatRequest, messages: Messages) -> list[str]:
    said: list[list[Piece]] = [[] for _ in request.models]
    with Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="visible") as live:

        def listen(index: int) -> None:
            for piece in stream(api, request, request.models[index], messages):
                said[index].append(piece)
                live.update(_columns(request.models, said), refresh=True)

        listeners = [partial(listen, index) for index in range(len(said))]
        run_together(listeners, at_once=len(listeners), stop=api.http.break_off)
    return [_joined(pieces, is_reasoning=False) for pieces in said]


def _columns(models: list[str], said: list[list[Piece]]) -> Table:
    table = Table(box=None, expand=True, pad_edge=False)
    for model in models:
        table.add_column(Text(model), ratio=1, overflow="fold")
    table.add_row(*map(_cell, said))
    return table


def _cell(pieces: list[Piece]) -> Text:
    reasoning = _joined(pieces, is_reasoning=True)
    above = Text(_shown(reasoning) + "\n", style="dim") if reasoning else Text()
    return Text.assemble(above, _shown(_joined(pieces, is_reasoning=False)))


def _joined(pieces: list[Piece], *, is_reasoning: bool) -> str:
    return "".join(piece.text for piece in pieces if piece.is_reasoning is is_reasoning)


def _shown(text: str) -> str:
    """Removes characters that would move the terminal's cursor: a model may write anything."""
    return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in text)
