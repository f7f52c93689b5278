"""`tunery data check`: the data report of a local file, without a server. Lengths are in characters."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.contracts.data_report import DataReport, Finding
from cluster.data_checks.check import check_data

app = typer.Typer(help="Work with training files.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Work with training files."""


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="The training file.", exists=True, dir_okay=False, readable=True)
    ],
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Also look for its prompts in the training file.", exists=True, dir_okay=False, readable=True
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """List the problems of a training file. Exits with 1 if one of them would keep it from being used."""
    with ExitStack() as files:
        other = None if validation is None else files.enter_context(validation.open("rb"))
        report = check_data(files.enter_context(file.open("rb")), validation=other)
    if as_json:
        print(json.dumps(_as_the_api(report, file, validation), indent=2))
    else:
        for line in lines(report, str(file)):
            print(line)
    if report.errors:
        raise typer.Exit(1)


def lines(report: DataReport, name: str) -> Iterator[str]:
    """Yields `name:line:column severity code message`, in the order of lines, then what was left out."""
    places = [(place, finding) for finding in report.findings for place in finding.places]
    for place, finding in sorted(places, key=lambda one: (one[0].line, one[0].column)):
        where = f"{name}:{place.line}:{place.column}" if place.line else name
        yield f"{where} {finding.severity} {finding.code} {_message(finding)}" + "".join(
            f" ({note})"
            for note in (
                place.param,
                f"line {place.related_line}" if place.related_line else None,
                place.hint,
            )
            if note
        )
    for finding in report.findings:
        if finding.count > len(finding.places):
            more = finding.count - len(finding.places)
            yield f"{name} {finding.severity} {finding.code} And {more} more."
    errors, warnings = (
        sum(finding.count for finding in findings) for findings in (report.errors, report.warnings)
    )
    yield f"{name}: {report.n_examples} example(s), {errors} error(s), {warnings} warning(s)"


def _as_the_api(report: DataReport, file: Path, validation: Path | None) -> dict[str, Any]:
    """The object that the API answers with. Files are named by their paths, for want of ids."""
    return {
        "object": "file.report",
        "file_id": str(file),
        "validation_file": None if validation is None else str(validation),
        "model": None,
        "status": "completed",
        **report.model_dump(mode="json"),
    }


def _message(finding: Finding) -> str:
    return f"{finding.title} {finding.remedy}"
