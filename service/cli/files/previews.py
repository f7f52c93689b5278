"""Formats rows as a base model sees them, with the learned tokens marked."""

from collections.abc import Iterator
from itertools import groupby

from rich.text import Text

from service.cli.output import Item

_LEARNED, _GIVEN = "bold green", "dim"


def preview_text(preview: Item) -> Iterator[Text]:
    """Formats a preview for terminals, with the learned parts in bright text."""
    for row, sequence, role in _sequences(preview):
        yield Text(_heading(row, role), "cyan")
        text = Text()
        for is_learned, piece in _pieces(sequence):
            text.append(piece, _LEARNED if is_learned else _GIVEN)
        yield text
    if preview["has_more"]:
        yield Text("More rows are left out; ask for them with --line.", "yellow")


def preview_lines(preview: Item) -> Iterator[str]:
    """Formats a preview for pipes, with the learned parts between «»."""
    for row, sequence, role in _sequences(preview):
        yield _heading(row, role)
        yield "".join(f"«{piece}»" if is_learned else piece for is_learned, piece in _pieces(sequence))


def _sequences(preview: Item) -> Iterator[tuple[Item, Item, str]]:
    none: list[Item] = [{"role": "example", "tokens": []}]
    for row in preview["data"]:
        for sequence in row["sequences"] or none:
            yield row, sequence, sequence["role"]


def _heading(row: Item, role: str) -> str:
    parts = [f"line {row['line']}"]
    if role != "example":
        parts.append(role.replace("_", " "))
    parts.append(f"{row['full_length']} tokens" if row["full_length"] is not None else "not rendered")
    if row["outcome"] == "truncated":
        parts.append(f"cut after {row['truncated_at']}")
    elif row["outcome"] != "whole":
        parts.append(row["outcome"])
    if problem := row["problem"]:
        parts.append(f"{problem['code']}: {problem['message']}")
    return f"— {', '.join(parts)}"


def _pieces(sequence: Item) -> Iterator[tuple[bool, str]]:
    """Joins neighbouring tokens, because a character may be spread over several."""
    for is_learned, tokens in groupby(sequence["tokens"], lambda token: bool(token["learned"])):
        content = bytes(byte for token in tokens for byte in token["bytes"])
        yield is_learned, _visible(content.decode(errors="replace"))


def _visible(text: str) -> str:
    return "".join(one if one.isprintable() or one in "\n\t" else "·" for one in text)
