"""What the checks find, grouped by rule: every place is counted, and the first ones are kept."""

from cluster.contracts.data_report import MAX_PLACES, Finding, Place
from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.columns import column_of
from cluster.data_checks.rules import rule_of


class Findings:
    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[Place]] = {}

    def add(self, code: str, place: Place) -> None:
        if self.count(code):
            self._places[code].append(place)

    def add_at(
        self,
        code: str,
        line: CheckedLine,
        param: str | None = None,
        offset: int | None = None,
        *,
        related_line: int | None = None,
    ) -> None:
        """Adds a place in a valid row. `offset` is the number of a character in the text at `param`."""
        if self.count(code):
            self._places[code].append(place_in(line, param, offset, related_line=related_line))

    def count(self, code: str, times: int = 1) -> bool:
        """Counts places. Returns whether there is room to name one more."""
        self._counts[code] = self._counts.get(code, 0) + times
        return len(self._places.setdefault(code, [])) < MAX_PLACES

    def findings(self) -> list[Finding]:
        """Errors first, then the most frequent."""
        found = [self._finding(code, count) for code, count in self._counts.items()]
        return sorted(found, key=lambda one: (one.severity, -one.count, one.code))

    def _finding(self, code: str, count: int) -> Finding:
        rule = rule_of(code)
        return Finding(
            code=code,
            severity=rule.severity,
            title=rule.title,
            remedy=rule.remedy,
            count=count,
            places=sorted(self._places[code], key=lambda place: (place.line, place.column)),
        )


def place_in(
    line: CheckedLine, param: str | None, offset: int | None = None, *, related_line: int | None = None
) -> Place:
    """The line must be a valid row."""
    # Column 1 is that of the first character after a byte order mark, as editors count.
    column = column_of(line.content.decode(), param, offset)
    return Place(line=line.number, column=column, param=param, related_line=related_line)
