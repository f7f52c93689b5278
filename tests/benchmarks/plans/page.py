"""The table of measured plans in docs/planning.md. It keeps what was measured: each case has one row."""

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "planning.md"
_BEGIN, _END = "<!-- measured: plans -->", "<!-- end -->"
_HEAD = (
    "Job",
    "Workers",
    "Tokens of a pass",
    "Planned MB a worker",
    "Measured MB",
    "Measured / planned",
    "Loading, MB",
)
_KEY = 3
"""So many cells say which case a row is of."""


def with_row(page: str, row: Sequence[str]) -> str:
    """The page with this row in its table, in place of the row of the same case, or as the last one."""
    before, rest = page.split(_BEGIN, 1)
    table, after = rest.split(_END, 1)
    rows = [_cells(line) for line in table.strip().splitlines()[2:]]
    places = [number for number, known in enumerate(rows) if known[:_KEY] == list(row[:_KEY])]
    at = slice(places[0], places[0] + 1) if places else slice(len(rows), None)
    rows[at] = [list(row)]
    return "\n".join([before + _BEGIN, "", *table_lines(rows), "", _END + after])


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (_HEAD, ["---"] * len(_HEAD), *rows)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
