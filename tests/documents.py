"""Lists the project's documents and finds the examples in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def _leaves(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield f"docs/{nav}"
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _leaves(entry)


PAGES = tuple(_leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
"""The pages of the documentation, in reading order."""
RUN = ("README.md", *PAGES, "clients/python/README.md")
"""Documents whose examples tests/e2e/test_readme.py runs, in this order."""
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deploy/README.md",
    "clients/python/README.md",
    *PAGES,
)


@dataclass(frozen=True)
class Block:
    """A fenced code block in a document."""

    document: str
    line: int
    """Line number of the block's first line of text, from 1."""
    language: str
    text: str
    not_run: str | None = None
    """Reason why no test runs the block, from a comment `<!-- not run: … -->` before it."""

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


_FENCED = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n\n?)?^```(?P<language>.*)\n(?P<text>(?s:.*?))^```$", re.MULTILINE
)


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = (ROOT / document).read_text()
    return [
        Block(
            document,
            text.count("\n", 0, match.start("text")) + 1,
            match["language"],
            match["text"],
            match["reason"],
        )
        for match in _FENCED.finditer(text)
    ]
