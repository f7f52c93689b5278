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

app = typer.Typer(help="Check, convert, mend and show training files.", no_args_is_help=True)

_File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The training file.", exists=True, dir_okay=False, readable=True),
]
_Target = Annotated[
    Path | None, typer.Option("--output", "-o", help="The new file; beside the old one by default.")
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
            help="Training file in which to look for the same prompts.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    lines: Annotated[bool, typer.Option("--lines/--no-lines", help="Show the text at each place.")] = True,
) -> None:
    """List the problems of a training file. Exits with 1 if one of them would keep it from being used."""
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
            help="JSON Lines, JSON, CSV, TSV or Parquet, or a folder of `datasets`.",
            exists=True,
            readable=True,
        ),
    ],
    target: _Target = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help=f"By default what the keys say: {', '.join(FORMATS)}."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="KEY=COLUMN",
            help="Take a key of the format from this column, such as question=Frage; repeat it for more.",
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="An instruction for conversations that begin with none.")
    ] = None,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out records that cannot be converted, instead of failing.")
    ] = False,
) -> None:
    """Write a file of another format as a training file: chats of ShareGPT, Alpaca, Dolly, Gemini, Together
    and Fireworks, prompts and completions, tables, preferences of TRL, rows of Hugging Face data sets."""
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
    drop: Annotated[
        bool, typer.Option("--drop", help="Leave out rows that cannot be mended safely.")
    ] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Leave out rows that repeat an earlier one.")
    ] = False,
) -> None:
    """Write a mended copy of a training file, and say what was changed: only where one repair is possible.
    Exits with 1 if errors are left."""
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
        output.remark(f"{file}: left out what cannot be mended, {_places(found.dropped)}")
    if not output.wants_json:
        for line in report_lines(report, to):
            output.remark(line)
    output.done(done, str(to))
    if report.errors:
        if drop:
            output.remark("Valid rows stay. If there are several formats, give each a file of its own.")
        else:
            output.remark(
                "The rows that are left cannot be mended safely; --drop leaves them out. "
                f"Remove {to} first, or name another --output."
            )
        raise typer.Exit(1)


@local_command(app, "stats")
def stats(output: Output, file: _File) -> None:
    """Show what a training file consists of: examples, turns, lengths in characters, labels."""
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
            help="Base model whose template and tokenizer to use.",
            autocompletion=completion.models,
        ),
    ],
    rows: Annotated[int, typer.Option("-n", help="How many rows, from the first one.", min=1, max=100)] = 3,
    lines: Annotated[
        list[int] | None, typer.Option("--line", help="A row's line instead; repeat it for more.", min=1)
    ] = None,
    training: Training = None,
) -> None:
    """Show rows as the model will see them, and which tokens are learned. A local file is uploaded for it,
    and deleted again."""
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
