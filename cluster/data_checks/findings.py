"""What the checks find, grouped by rule: every place is counted, and the first ones are kept."""

from collections.abc import Callable, Iterable, Sequence

from cluster.contracts.data_report import MAX_PLACES, Finding, FindingPlace
from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.columns import column_of
from cluster.data_checks.rules import rule_of


def by_severity(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Returns the `errors` and `warnings` of a data report, the most frequent first."""
    ordered = sorted(findings, key=lambda one: (-one.count, one.code))
    return {
        "errors": [finding for finding in ordered if finding.severity == "error"],
        "warnings": [finding for finding in ordered if finding.severity == "warning"],
    }


class Findings:
    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[FindingPlace]] = {}

    def add(self, code: str, place: FindingPlace | Callable[[], FindingPlace]) -> None:
        """Adds a place. `place` is called only if there is room, because finding it may take long."""
        if self._has_room(code, 1):
            self._places[code].append(place() if callable(place) else place)

    def add_all(self, code: str, places: Sequence[FindingPlace], count: int) -> None:
        """Adds `count` places at once, of which the first ones are given."""
        if count and self._has_room(code, count):
            self._places[code] += places[:MAX_PLACES]

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
        self.add(code, lambda: place_in(line, param, offset, related_line=related_line))

    def findings(self) -> list[Finding]:
        return [self._finding(code, count) for code, count in self._counts.items()]

    def _has_room(self, code: str, count: int) -> bool:
        """Counts places. Returns whether one more can be listed."""
        self._counts[code] = self._counts.get(code, 0) + count
        return len(self._places.setdefault(code, [])) < MAX_PLACES

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
) -> FindingPlace:
    """Returns a place in the line, which must be a valid row."""
    # Column 1 is that of the first character after a byte order mark, as editors count.
    column = column_of(line.content.decode(), param, offset)
    return FindingPlace(line=line.number, column=column, param=param, related_line=related_line)
