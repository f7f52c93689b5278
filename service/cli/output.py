"""What commands print: a table on a terminal, tab-separated lines in a pipe, or JSON. Data goes to stdout,
remarks to stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Item = Mapping[str, Any]
Columns = Mapping[str, str | Callable[[Item], object]]
"""By heading: the name of an item's field, or a function of the item."""


@dataclass(frozen=True)
class Output:
    wants_json: bool = False

    def items(self, items: Iterable[Item], columns: Columns) -> None:
        """Prints a list: one line an item, without headings in a pipe."""
        if self.wants_json:
            self._json(list(items))
        elif sys.stdout.isatty():
            table = Table(box=None, pad_edge=False)
            for heading in columns:
                table.add_column(heading, overflow="fold")
            for item in items:
                table.add_row(*(Text(cell) for cell in _cells(item, columns)))
            Console(highlight=False).print(table)
        else:
            for item in items:
                print("\t".join(_cells(item, columns)))

    def item(self, item: Item, columns: Columns) -> None:
        """Prints one item: a line for each column, its heading first."""
        if self.wants_json:
            self._json(item)
            return
        width = max(map(len, columns)) if sys.stdout.isatty() else 0
        for heading, cell in zip(columns, _cells(item, columns), strict=True):
            print(f"{heading.ljust(width)}  {cell}" if width else f"{heading}\t{cell}")

    def done(self, answer: Item, sentence: str) -> None:
        """Reports what a command has done: the API's answer as JSON, or a sentence."""
        self._json(answer) if self.wants_json else print(printable(sentence))

    def remark(self, sentence: str) -> None:
        print(printable(sentence), file=sys.stderr)

    def _json(self, value: object) -> None:
        print(json.dumps(value, indent=2, ensure_ascii=False))


def date(seconds: float | None) -> str:
    """Unix seconds in the reader's own time zone; nothing for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def printable(text: str) -> str:
    """Without what would move a terminal's cursor or break a line apart: names are whatever a user chose."""
    return "".join(character if character.isprintable() else " " for character in text)


def _cells(item: Item, columns: Columns) -> list[str]:
    found = (item.get(column) if isinstance(column, str) else column(item) for column in columns.values())
    return ["" if value is None else printable(str(value)) for value in found]
