"""`tunery data`: checks, converts, mends and shows training files."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from service.cli import completion
from service.cli.commands import api_command, local_command
from service.cli.failures import USAGE, CommandFailed
from service.cli.files.check import as_the_api, refusal_of_jobs, report_lines, report_on
from service.cli.files.conversion.convert import Conversion, converted_lines
from service.cli.files.conversion.formats import FORMATS
from service.cli.files.conversion.writing import write_new
from service.cli.files.mending import Mended, mended_lines
from service.cli.files.previews import preview_lines, preview_text
from service.cli.files.statistics import describe, statistics_lines
from service.cli.files.uploads import upload
from service.cli.http.retrying import retried
from service.cli.jobs.options import Training, pairs, training_options
from service.cli.lookups import find_model
from service.cli.output import Output, printable
from service.cli.remote import Api

app = typer.Typer(help="Check, convert, repair and preview training files.", no_args_is_help=True)

_File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The training file.", exists=True, dir_okay=False, readable=True),
]
_Target = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to write; next to the original by default.")
]
_SHOWN = 20
"""Maximum number of refused records that are listed."""
_READING_SECONDS = 1800.0


@local_command(app, "check")
def check(
    output: Output,
    file: _File,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Training file to check for prompts that also occur in this one.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    lines: Annotated[bool, typer.Option("--lines/--no-lines", help="Show the text at each location.")] = True,
) -> None:
    """List the problems in a training file. Exits with 1 if any of them makes the file unusable."""
    report = report_on(file, validation)
    if output.wants_json:
        output.json(as_the_api(report, file, validation))
    else:
        for line in report_lines(report, file, shows_lines=lines):
            print(line)
        if reason := refusal_of_jobs(report):
            output.remark(f"A job would be refused: {reason}")
    if report.errors:
        raise typer.Exit(1)


@local_command(app, "convert")
def convert(
    output: Output,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A JSON Lines, JSON, CSV, TSV or Parquet file, or a folder saved by `datasets`.",
            exists=True,
            readable=True,
        ),
    ],
    target: _Target = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help=f"Format of the file; detected from its keys by default: {', '.join(FORMATS)}.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="KEY=COLUMN",
            help="Read a key of the format from a different column, such as question=Frage; can be repeated.",
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="A system message for conversations that do not start with one.")
    ] = None,
    skip: Annotated[
        bool, typer.Option("--skip", help="Skip records that cannot be converted, instead of failing.")
    ] = False,
) -> None:
    """Convert a file to Tunery's training format, from ShareGPT, Alpaca, Dolly, Gemini, Together or Fireworks
    conversations, prompts and completions, tables, TRL preferences, or Hugging Face datasets."""
    if source is not None and source not in FORMATS:
        raise CommandFailed(f"--from is '{source}'; it may be {', '.join(FORMATS)}.", USAGE)
    found = Conversion()
    to = target or file.with_name(f"{file.name.split('.')[0]}.converted.jsonl")
    rows = converted_lines(
        file, found, format=source, columns=pairs(columns or [], "--column"), system=system
    )

    def checked() -> Any:
        yield from rows
        if found.refused and not skip:
            raise _refused(file, found)

    write_new(to, checked(), source=file)
    if not found.n_rows:
        raise _refused(file, found)
    done = {
        "file": str(to),
        "format": found.format,
        "rows": found.n_rows,
        "from": dict(found.formats),
        "left_out": [line for line, _ in found.refused],
    }
    _list_refused(file, found)
    kinds = ", ".join(f"{count} {name}" for name, count in found.formats.items())
    output.done(done, f"Wrote {to}: {found.n_rows} {found.format} row(s) from {kinds}.")


@local_command(app, "fix")
def fix(
    output: Output,
    file: _File,
    target: _Target = None,
    drop: Annotated[bool, typer.Option("--drop", help="Drop rows that cannot be repaired safely.")] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Drop rows that duplicate an earlier row.")
    ] = False,
) -> None:
    """Write a repaired copy of a training file and report the changes. Only problems with a single possible
    repair are fixed. Exits with 1 if errors remain."""
    found = Mended()
    to = target or file.with_name(f"{file.stem}.fixed.jsonl")
    with file.open("rb") as stream:
        lines = mended_lines(stream, found, drops_broken=drop, drops_duplicates=drop_duplicates)
        write_new(to, lines, source=file)
    if not found.n_rows:
        raise CommandFailed(f"{file} has no row that could be kept.")
    report = report_on(to)
    done = {
        "file": str(to),
        "rows": found.n_rows,
        "repairs": found.repairs,
        "dropped": found.dropped,
        "report": as_the_api(report, to, None),
    }
    for repair, places in found.repairs.items():
        output.remark(f"{file}: {repair}, {_places(places)}")
    if found.dropped:
        output.remark(f"{file}: left out what cannot be repaired, {_places(found.dropped)}")
    if not output.wants_json:
        for line in report_lines(report, to):
            output.remark(line)
    output.done(done, str(to))
    if report.errors:
        if drop:
            output.remark("Valid rows stay. If there are several formats, give each a file of its own.")
        else:
            output.remark(
                "The rows that are left cannot be repaired safely; --drop leaves them out. "
                f"Remove {to} first, or name another --output."
            )
        raise typer.Exit(1)


@local_command(app, "stats")
def stats(output: Output, file: _File) -> None:
    """Show statistics of a training file: examples, turns, lengths in characters, and labels."""
    found = describe(file, report_on(file))
    if output.wants_json:
        output.json(found)
        return
    for line in statistics_lines(found):
        print(line)


@api_command(app, "preview")
def preview(
    api: Api,
    output: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A local file, or the id of an uploaded one.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Base model whose chat template and tokenizer to use.",
            autocompletion=completion.models,
        ),
    ],
    rows: Annotated[
        int, typer.Option("-n", help="Number of rows to show, from the start of the file.", min=1, max=100)
    ] = 3,
    lines: Annotated[
        list[int] | None,
        typer.Option("--line", help="Line number of a row to show instead; can be repeated.", min=1),
    ] = None,
    training: Training = None,
) -> None:
    """Show rows as the model will see them, and which tokens it learns from. A local file is uploaded for the
    preview and deleted afterwards."""
    find_model(api, model)
    path = Path(file)
    is_local = path.is_file()
    file_id = upload(api, path, "fine-tune")["id"] if is_local else file
    body: dict[str, Any] = {"model": model, "training_file": file_id, "n": rows}
    if lines:
        body["lines"] = lines
    if training:
        options = training_options(None, None, training)
        body["training"] = {name: value for name, value in options.items() if value is not None}
    body |= _method_of(path) if is_local else {}
    try:
        found = retried(lambda: api.post("/fine_tuning/jobs/preview", body), within_seconds=_READING_SECONDS)
    finally:
        if is_local:
            api.delete(f"/files/{file_id}")
    if output.wants_json:
        output.json(found)
    elif sys.stdout.isatty():
        console = Console(highlight=False)
        for text in preview_text(found):
            console.print(text)
    else:
        for line in preview_lines(found):
            print(line)


def _method_of(path: Path) -> dict[str, Any]:
    return {"method": {"type": "dpo"}} if report_on(path).format == "preference" else {}


def _refused(file: Path, found: Conversion) -> CommandFailed:
    _list_refused(file, found)
    if not found.refused:
        return CommandFailed(f"{file} has no record.")
    return CommandFailed(
        f"{len(found.refused)} record(s) of {file} cannot be converted; nothing was written. Mend them, or "
        "leave them out with --skip."
    )


def _list_refused(file: Path, found: Conversion) -> None:
    for line, message in found.refused[:_SHOWN]:
        print(printable(f"{file}:{line}:1 error {message}"), file=sys.stderr)
    if len(found.refused) > _SHOWN:
        print(f"{file}: {len(found.refused) - _SHOWN} more", file=sys.stderr)


def _places(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:5]))
    more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
    return f"line(s) {shown}{more}"
