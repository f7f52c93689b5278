"""The project's documents, and the examples in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def _leaves(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield f"docs/{nav}"
    for inner in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _leaves(inner)


PAGES = tuple(_leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
"""The documentation, in the order in which it is read."""
RUN = ("README.md", *PAGES, "clients/python/README.md")
"""Documents whose examples are run, in this order, by tests/e2e/test_readme.py."""
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
    """A fenced block of a document."""

    document: str
    line: int
    """Of its first line of text; 1 is the document's first."""
    language: str
    text: str
    not_run: str | None = None
    """Why no test runs it: what a comment `<!-- not run: … -->` before it says."""

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


_FENCED = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n\n?)?^```(?P<language>.*)\n(?P<text>(?s:.*?))^```$", re.MULTILINE
)


def blocks(document: str) -> list[Block]:
    """In the document's order."""
    text = (ROOT / document).read_text()
    return [
        Block(
            document,
            text.count("\n", 0, found.start("text")) + 1,
            found["language"],
            found["text"],
            found["reason"],
        )
        for found in _FENCED.finditer(text)
    ]
