"""The project's documents, and the examples in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "deploy/README.md", "clients/python/README.md")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    line: int
    """Of its first line of text; 1 is the document's first."""
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str) -> list[Block]:
    """In the document's order."""
    text = (ROOT / document).read_text()
    fenced = re.finditer(r"^```(.*)\n((?s:.*?))^```$", text, re.MULTILINE)
    return [Block(document, text.count("\n", 0, found.start(2)) + 1, found[1], found[2]) for found in fenced]
