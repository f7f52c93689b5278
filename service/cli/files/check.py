"""The data report of a local file in words, without a server. Lengths are in characters."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cluster.contracts.data_report import DataReport, Finding, FindingPlace
from cluster.contracts.datasets import MIN_TRAINING_EXAMPLES, too_few_examples
from cluster.data_checks.check import check_data
from cluster.data_checks.secret_patterns import has_secret
from service.cli.failures import CommandFailed
from service.cli.output import printable

_SHOWN_CHARACTERS = 100
_BEFORE = 40
"""Number of characters of a line that are shown before the finding's place."""
_PRIVATE = {
    *("private_key", "api_key", "url_credentials"),
    *("email_address", "phone_number", "card_number", "iban"),
}
"""Findings whose lines are not shown, because output ends up in logs."""


def report_on(path: Path, validation: Path | None = None) -> DataReport:
    with ExitStack() as files:
        other = None if validation is None else files.enter_context(validation.open("rb"))
        return check_data(files.enter_context(path.open("rb")), validation=other)


def check_or_fail(path: Path) -> DataReport:
    """Prints the report's findings on stderr. Raises CommandFailed if there are errors."""
    report = report_on(path)
    if report.errors:
        for line in report_lines(report, path):
            print(line, file=sys.stderr)
        raise CommandFailed(
            f"{path} cannot be trained on. `tunery data fix {path}` mends what it safely can, and "
            "`tunery data convert` knows other formats."
        )
    for line in _counts(report, path):
        print(line, file=sys.stderr)
    return report


def refusal_of_jobs(report: DataReport) -> str | None:
    """Returns why no job could train on the file, even if it may be uploaded; None if one could."""
    if report.n_examples >= MIN_TRAINING_EXAMPLES:
        return None
    return (
        f"{too_few_examples('training_file', report.n_examples, MIN_TRAINING_EXAMPLES)} (invalid_n_examples)"
    )


def report_lines(report: DataReport, path: Path, *, shows_lines: bool = True) -> Iterator[str]:
    """Yields `name:line:column severity code message` in the order of lines, each with the text around the
    place, and then the number of places for each finding."""
    places = [(place, finding) for finding in report.findings for place in finding.places]
    shown = _lines_of(path, {place.line for place, _ in places}) if shows_lines else {}
    for place, finding in sorted(places, key=lambda one: (one[0].line, one[0].column)):
        where = f"{path}:{place.line}:{place.column}" if place.line else str(path)
        notes = "".join(f" ({note})" for note in _notes(place) if note)
        yield printable(f"{where} {finding.severity} {finding.code} {_message(finding)}{notes}")
        if place.line in shown and finding.code not in _PRIVATE:
            yield from _excerpt(shown[place.line], place.column)
    yield from _counts(report, path)


def as_the_api(report: DataReport, path: Path, validation: Path | None) -> dict[str, Any]:
    """The same object as in the API's answer. Files are named by their paths, because they have no ids."""
    return {
        "object": "file.report",
        "file_id": str(path),
        "validation_file": None if validation is None else str(validation),
        "model": None,
        "status": "completed",
        **report.model_dump(mode="json"),
    }


def _counts(report: DataReport, path: Path) -> Iterator[str]:
    for finding in report.findings:
        hidden = finding.count - len(finding.places)
        more = f", {hidden} of them not listed" if hidden else ""
        yield f"{path}: {finding.count} {finding.severity} {finding.code}{more}"
    errors, warnings = (
        sum(finding.count for finding in findings) for findings in (report.errors, report.warnings)
    )
    yield f"{path}: {report.n_examples} example(s), {errors} error(s), {warnings} warning(s)"


def _notes(place: FindingPlace) -> Iterable[str | None]:
    related = f"line {place.related_line}" if place.related_line else None
    return place.param, related, place.hint


def _lines_of(path: Path, numbers: set[int]) -> Mapping[int, str]:
    found: dict[int, str] = {}
    last = max(numbers, default=0)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number > last:
                break
            if number in numbers:
                found[number] = line.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").rstrip("\r\n")
    return found


def _excerpt(line: str, column: int) -> Iterator[str]:
    start = max(0, column - 1 - _BEFORE)
    text = line[start : start + _SHOWN_CHARACTERS]
    if not text.strip() or has_secret(line):
        return
    before, after = "…" if start else "", "…" if start + _SHOWN_CHARACTERS < len(line) else ""
    yield f"    {before}{printable(text)}{after}"
    yield f"    {' ' * (len(before) + column - 1 - start)}^"


def _message(finding: Finding) -> str:
    return f"{finding.title} {finding.remedy}"
