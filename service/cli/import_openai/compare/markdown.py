"""Markdown with texts from models and strangers, none of which can break out of its place."""

import re
from collections.abc import Iterable, Sequence

_TICKS = re.compile(r"`+")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(value: object) -> str:
    if value is None:
        return "—"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def block(text: str, *, limit: int = 4000) -> str:
    """A fenced block, cut at `limit` characters."""
    shown = text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} characters more)"
    fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"
