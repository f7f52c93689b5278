"""Prints results of commands: as a table on a terminal, as tab-separated lines in a pipe, or as JSON. Data
goes to stdout, remarks to stderr."""

import codecs
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2
"""Characters between columns."""
_PROSE = 20
"""The minimum width of a column with sentences."""

Item = Mapping[str, Any]
Columns = Mapping[str, str | Callable[[Item], object]]
"""Columns by heading: the name of an item's field, or a function of the item."""


@dataclass(frozen=True)
class Output:
    wants_json: bool = False

    def items(self, items: Iterable[Item], columns: Columns) -> None:
        """Prints a list: one line per item, without headings in a pipe."""
        if self.wants_json:
            self.json(list(items))
        elif sys.stdout.isatty():
            console = Console(highlight=False)
            rows = [_cells(item, columns) for item in items]
            widths = column_widths([list(columns), *rows], console.width)
            table = Table(box=None, pad_edge=False)
            for heading, width in zip(columns, widths, strict=True):
                if width:
                    table.add_column(heading, width=width, overflow="fold")
            for row in rows:
                table.add_row(*(Text(cell) for cell, width in zip(row, widths, strict=True) if width))
            console.print(table)
            if hidden := [heading for heading, width in zip(columns, widths, strict=True) if not width]:
                self.remark(f"Not shown, because the terminal is too narrow: {', '.join(hidden)}.")
        else:
            for item in items:
                print("\t".join(_cells(item, columns)))

    def line(self, item: Item, columns: Columns) -> None:
        """Prints one item of a growing list at once, on one line: its columns, or JSON."""
        if self.wants_json:
            print(_dumped(item), flush=True)
        else:
            print("\t".join(_cells(item, columns)), flush=True)

    def item(self, item: Item, columns: Columns) -> None:
        """Prints one item: one line per column, which starts with the heading."""
        if self.wants_json:
            self.json(item)
            return
        width = max(map(len, columns)) if sys.stdout.isatty() else 0
        for heading, cell in zip(columns, _cells(item, columns), strict=True):
            print(f"{heading.ljust(width)}  {cell}" if width else f"{heading}\t{cell}")

    def done(self, answer: Item, sentence: str) -> None:
        """Reports the result of a command: the API's answer as JSON, or a sentence."""
        self.json(answer) if self.wants_json else print(printable(sentence))

    def remark(self, sentence: str) -> None:
        print(printable(sentence), file=sys.stderr)

    def json(self, value: object) -> None:
        """Prints a value as JSON, for commands whose other output is not JSON."""
        print(_dumped(value, indent=2))


def column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The widths of a table's columns, 0 for columns without room. Ids and names are never broken: a column
    is as wide as its longest word, unless it contains prose. The first column is always shown."""
    columns = list(zip(*rows, strict=True))
    widths = [0] * len(columns)
    left = width
    for place, cells in enumerate(columns):
        least = max(cell_len(word) for cell in cells for word in cell.split() or [""])
        if any(" " in cell for cell in cells[1:]):
            least = min(least, _PROSE)
        gap = _GAP if place else 0
        if not place or gap + least <= left:
            widths[place] = min(least, width)
            left -= gap + widths[place]
    for place, cells in enumerate(columns):
        if widths[place]:
            more = min(left, max(map(cell_len, cells)) - widths[place])
            widths[place] += more
            left -= more
    return widths


def date(seconds: float | None) -> str:
    """Formats Unix seconds in the reader's time zone; empty for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def printable(text: str) -> str:
    """Removes characters that would move the cursor or break a line: users choose names freely."""
    return "".join(character if character.isprintable() else " " for character in text)


def _dumped(value: object, indent: int | None = None) -> str:
    """Escapes non-ASCII characters unless stdout is UTF-8: for characters that another encoding lacks, Python
    would write escapes that JSON does not have."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return json.dumps(value, indent=indent, ensure_ascii=codecs.lookup(encoding).name != "utf-8")


def _cells(item: Item, columns: Columns) -> list[str]:
    found = (item.get(column) if isinstance(column, str) else column(item) for column in columns.values())
    return ["" if value is None else printable(str(value)) for value in found]
