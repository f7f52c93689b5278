"""`tunery import-openai harvest`, `compare` and `report`: compare an old model with its replacement."""

from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.commands import api_command
from service.cli.failures import NOT_FOUND, USAGE, CommandFailed, Refused
from service.cli.import_openai.archive.archive import Archive, read_lines, write_json, write_text
from service.cli.import_openai.compare.comparing import compare as compare_all
from service.cli.import_openai.compare.comparing import most_frequent, worst_first
from service.cli.import_openai.compare.grading import METRICS
from service.cli.import_openai.compare.reporting import (
    comparison_report,
    replacement,
    side_by_side,
    summary,
)
from service.cli.import_openai.compare.reporting import (
    report as report_of,
)
from service.cli.import_openai.harvest.answers_file import AnswersFile
from service.cli.import_openai.harvest.asking import DEFAULT_MAX_TOKENS, tunery_source
from service.cli.import_openai.harvest.harvesting import harvest as harvest_all
from service.cli.import_openai.harvest.harvesting import keep_stored, spent_tokens
from service.cli.import_openai.harvest.harvests import harvest_path, slug
from service.cli.import_openai.harvest.prompts import read_prompts
from service.cli.import_openai.plan.applying import replacements
from service.cli.import_openai.source.command import (
    DEFAULT_ARCHIVE,
    ArchiveFolder,
    OpenSource,
    Workers,
    app,
    source_command,
)
from service.cli.lookups import quoted
from service.cli.output import Columns, Output
from service.cli.progress import bar
from service.cli.remote import Api

_SHOWN_ROWS = 50
_Model = Annotated[str, typer.Option("--model", help="The old model, such as ft:gpt-4o-mini-….")]
_Metric = Annotated[str, typer.Option("--metric", help=f"Similarity metric: {', '.join(METRICS)}.")]
_SameMaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens",
        help="Maximum tokens of an answer; by default the old model's limit, or as many as fit.",
        min=1,
    ),
]
_REPORTED: Columns = {
    "JOB": "job",
    "MODEL": "model",
    "OLD": lambda found: _loss("old", found["old_metrics"].get("valid_loss")),
    "BASE": lambda found: _loss("base", found["held_out"].get("base_loss")),
    "NEW": lambda found: _loss("new", found["held_out"].get("tuned_loss")),
    "REPORT": "report",
}


@source_command("harvest")
def harvest(
    open_source: OpenSource,
    output: Output,
    model: _Model,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines file with messages or prompts; the model's validation file in the archive by "
            "default.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Save the model's stored completions instead of querying it.")
    ] = False,
    archive: ArchiveFolder = DEFAULT_ARCHIVE,
    max_tokens: Annotated[int, typer.Option(help="Maximum tokens of an answer.", min=1)] = DEFAULT_MAX_TOKENS,
    max_requests: Annotated[
        int | None, typer.Option(help="Maximum number of answers, over all runs.", min=1)
    ] = None,
    max_total_tokens: Annotated[
        int | None, typer.Option(help="Stop after this many tokens, over all runs.", min=1)
    ] = None,
    concurrency: Workers = 4,
) -> None:
    """Query an old model while it is still available, and save its answers. Run it again to resume."""
    kept = Archive.create(archive)
    if stored and prompts is not None:
        raise CommandFailed("Give --prompts or --stored, not both.", USAGE)
    file = AnswersFile(harvest_path(kept, model))
    with open_source() as source:
        if stored:
            keep_stored(source, model, file, workers=concurrency)
        else:
            asked = list(read_prompts(prompts or _validation_file(kept, model)))
            with bar("Asking", len(asked)) as shown:
                harvest_all(
                    source,
                    model,
                    asked,
                    file,
                    max_tokens=max_tokens,
                    max_requests=max_requests,
                    max_total_tokens=max_total_tokens,
                    workers=concurrency,
                    advance=shown.advance,
                )
    refused = sum("error" in row for row in file.rows.values())
    answers, tokens = len(file.rows) - refused, spent_tokens(file)
    output.done(
        {"file": str(file.path), "answers": answers, "refused": refused, "tokens": tokens},
        f"{file.path} has {answers:,} answers of {model}, with {tokens:,} tokens; {refused:,} were refused.",
    )


@api_command(app, "compare")
def compare(
    api: Api,
    output: Output,
    model: _Model,
    replacement_model: Annotated[
        str | None,
        typer.Option(
            "--with", help="The replacement model; by default the one that has the old model's name now."
        ),
    ] = None,
    archive: ArchiveFolder = DEFAULT_ARCHIVE,
    max_tokens: _SameMaxTokens = None,
    metric: _Metric = "fuzzy_match",
    concurrency: Workers = 4,
) -> None:
    """Send the harvested prompts to a replacement model, and grade its answers against the old ones."""
    kept = Archive.open(archive)
    _check_metric(metric)
    path = harvest_path(kept, model)
    if not path.exists():
        raise CommandFailed(f"No answers of {model} were harvested.", NOT_FOUND)
    rows = [row for row in read_lines(path) if isinstance(row.get("answer"), str)]
    # An alias may be moved; answers belong to the model that it names now.
    found = api.get(f"/models/{quoted(replacement_model or model)}")
    name = found["tunery"]["alias_of"] or found["id"]
    limit = f" in {max_tokens} tokens" if max_tokens else ""
    stem = slug(f"{model} with {name} by {metric}{limit}")
    file = AnswersFile(kept.folder / "comparisons" / f"{stem}.jsonl")
    with closing(tunery_source(api.target)) as source, bar("Comparing", len(rows)) as shown:
        compared = compare_all(
            source,
            name,
            rows,
            file,
            metric=metric,
            max_tokens=max_tokens,
            workers=concurrency,
            advance=shown.advance,
        )
    if compared.with_old is None:
        raise CommandFailed(f"Nothing could be compared: {_why_nothing(asdict(compared), path)}")
    worst = worst_first(list(file.rows.values()))[:_SHOWN_ROWS]
    target = file.path.with_suffix(".md")
    write_text(target, comparison_report(asdict(compared), model, worst))
    answer = asdict(compared) | {"old_model": model, "report": str(target)}
    output.done(answer, f"{_sentence(asdict(compared))} {target} shows them.")


@api_command(app, "report")
def report(
    api: Api,
    output: Output,
    archive: ArchiveFolder = DEFAULT_ARCHIVE,
    job: Annotated[
        list[str] | None,
        typer.Option("--job", metavar="ftjob-…", help="Report only this old job; can be repeated."),
    ] = None,
    rows: Annotated[
        int, typer.Option(help="Number of rows of the validation file to query.", min=0, max=1000)
    ] = 20,
    max_tokens: _SameMaxTokens = None,
    metric: _Metric = "fuzzy_match",
    concurrency: Workers = 4,
) -> None:
    """Write a report that compares the metrics and answers of each old job with its replacement's."""
    kept = Archive.open(archive)
    _check_metric(metric)
    found = replacements(api)
    replaced = [
        (each, found[each["id"]])
        for each in kept.jobs()
        if each["id"] in found
        and found[each["id"]]["status"] == "succeeded"
        and (not job or each["id"] in job)
    ]
    reports: list[dict[str, Any]] = []
    refusals: Counter[str] = Counter()
    num_answers = 0
    with closing(tunery_source(api.target)) as source, bar("Asking", rows * len(replaced)) as shown:
        for old, new in replaced:
            try:
                one = replacement(source, old, new["fine_tuned_model"])
            except Refused as error:
                if error.status != 404:
                    raise
                output.remark(f"{old['id']} is left out: {error}")
                continue
            file = AnswersFile(kept.path("reports", old["id"], ".jsonl"))
            answers = side_by_side(
                source,
                kept,
                one,
                file,
                num_rows=rows,
                max_tokens=max_tokens,
                metric=metric,
                workers=concurrency,
                advance=shown.advance,
            )
            refusals.update(row["error"] for row in answers if "error" in row)
            num_answers += sum("base" in row or "new" in row for row in answers)
            about = summary(kept, one, answers)
            target = kept.path("reports", old["id"], ".md")
            write_text(target, report_of(about, answers))
            write_json(kept.path("reports", old["id"], ".json"), about)
            reports.append(about | {"report": str(target)})
    output.items(reports, _REPORTED)
    if not replaced:
        output.remark("No job of the archive has a replacement that succeeded.")
    if refusals and not num_answers:
        raise CommandFailed(
            f"No model answered: {refusals.total()} rows were refused. {most_frequent(refusals)}"
        )


def _validation_file(archive: Archive, model: str) -> Path:
    example = ""
    for job in archive.jobs():
        if job.get("fine_tuned_model") == model.partition(":ckpt-step-")[0]:
            if (path := archive.content(job.get("validation_file"))) is not None:
                return path
            if (path := archive.content(job.get("training_file"))) is not None:
                example = f", such as its training file {path}"
    raise CommandFailed(
        f"{archive.folder} has no validation file of {model}. Give --prompts FILE{example}.", USAGE
    )


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise CommandFailed(f"There is no metric '{metric}'; there are {', '.join(METRICS)}.", USAGE)


def _loss(whose: str, loss: float | None) -> str | None:
    return None if loss is None else f"{whose} loss {loss:.3f}"


def _why_nothing(found: dict[str, Any], harvested: Path) -> str:
    if found["ungraded"]:
        return f"the server could not grade {found['ungraded']:,} answers by {found['metric']}."
    reason = found["refusal"] or f"{harvested} has no answers."
    return f"{found['model']} refused {found['refused']:,} requests. {reason}"


def _sentence(found: dict[str, Any]) -> str:
    agreement = found["with_old"]
    rest = f" {found['refused']:,} were refused: {found['refusal']}" if found["refused"] else ""
    if found["ungraded"]:
        rest += f" {found['ungraded']:,} could not be graded."
    return (
        f"{agreement['n']:,} answers of {found['model']}: {agreement['exact']:.1%} are the old model's, "
        f"and the likeness is {agreement['similarity']:.1%} on average.{rest}"
    )
