"""`tunery import-openai fetch`, `plan` and `apply`: jobs, files and names move from one API to the other."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from service.cli.commands import api_command
from service.cli.failures import FAILED, NOT_FOUND, USAGE, CommandFailed
from service.cli.import_openai.archive.archive import Archive
from service.cli.import_openai.archive.export_folder import read_export
from service.cli.import_openai.archive.fetching import fetch as fetch_all
from service.cli.import_openai.plan.applying import apply_plan
from service.cli.import_openai.plan.plan_file import check_same_plan, read_plan, write_plan
from service.cli.import_openai.plan.planning import (
    Estimated,
    available,
    generating_bases,
    propose_and_estimate,
    remarks_on_bases,
)
from service.cli.import_openai.plan.proposing import Proposal, propose
from service.cli.import_openai.plan.uploading import Uploads
from service.cli.import_openai.source.command import (
    DEFAULT_ARCHIVE,
    ArchiveFolder,
    OpenSource,
    Workers,
    app,
    source_command,
)
from service.cli.jobs.live_line import duration
from service.cli.output import Columns, Item, Output
from service.cli.progress import bar
from service.cli.remote import Api

_SHOWN_PROBLEMS = 10
_PLANNED: Columns = {
    "JOB": "job",
    "OLD MODEL": "replaces",
    "BASE": lambda entry: entry["request"] and entry["request"]["model"],
    "HYPERPARAMETERS": lambda entry: _hyperparameters(entry),
    "NOTES": lambda entry: "; ".join(entry["notes"]),
}
_ESTIMATED: Columns = {
    **_PLANNED,
    "TIME": lambda entry: _time(entry["estimate"]),
    "PRICE": lambda entry: _price(entry["estimate"]),
    "PROBLEM": lambda entry: entry["estimate"] and entry["estimate"]["problem"],
}
_APPLIED: Columns = {
    "JOB": "job",
    "STATUS": "status",
    "NEW JOB": "new_job",
    "MODEL": "model",
    "ANSWERS AS": lambda entry: entry["replaces"] if entry["is_named"] else None,
    "PROBLEM": "problem",
}


@source_command("fetch")
def fetch(
    open_source: OpenSource,
    output: Output,
    archive: ArchiveFolder = DEFAULT_ARCHIVE,
    from_folder: Annotated[
        Path | None,
        typer.Option(help="Read an export folder instead of an API.", exists=True, file_okay=False),
    ] = None,
    concurrency: Workers = 8,
) -> None:
    """Save jobs, events, checkpoints, files and models to an archive. Run it again to resume or update."""
    if from_folder is not None:
        found = read_export(from_folder, Archive.create(archive))
    else:
        with open_source() as source:
            found = fetch_all(source, Archive.create(archive), workers=concurrency, remark=output.remark)
    sentence = f"{archive} has {found.jobs:,} jobs and {found.files - found.missing:,} files."
    if found.missing:
        sentence += f" {found.missing:,} files are not there; contents/*.missing.json says which are gone."
    output.done(asdict(found) | {"archive": str(archive)}, sentence)
    if found.problems:
        for problem in found.problems[:_SHOWN_PROBLEMS]:
            output.remark(problem)
        raise CommandFailed(
            f"{len(found.problems):,} things could not be read. Run the command again.", FAILED
        )


@api_command(app, "plan")
def plan(
    api: Api,
    output: Output,
    archive: ArchiveFolder = DEFAULT_ARCHIVE,
    base: Annotated[str | None, typer.Option(help="The base model to use for every job.")] = None,
    base_for: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=BASE",
            help="The base model to use for models tuned from OLD, such as gpt-4o-mini, regardless of its "
            "date.",
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Also upload the files and estimate times and prices.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite an existing plan.json that differs.")
    ] = False,
) -> None:
    """Propose a base model and hyperparameters for each job, in the archive's plan.json."""
    kept = Archive.open(archive)
    jobs, bases = kept.jobs(), generating_bases(api)
    chosen = _choices(base_for or [])
    named = {*chosen.values(), *([base] if base else [])}
    for name in named:
        if name not in bases:
            raise CommandFailed(
                f"The server has no base model '{name}'. It has {', '.join(bases)}.", NOT_FOUND
            )
        if (reason := bases[name]) is not None:
            raise CommandFailed(f"The base model '{name}' is unavailable: {reason}")

    def proposed(names: Sequence[str]) -> list[Proposal]:
        return propose(
            jobs,
            names,
            has_content=lambda id: kept.content(id) is not None,
            chosen=chosen,
            default=base,
        )

    proposals = proposed(available(bases))
    found: list[Estimated] = []
    if not force:
        check_same_plan(kept, proposals)
    if estimate:
        with bar("Estimating", len(jobs)) as shown:
            proposals, found = propose_and_estimate(api, Uploads(api, kept), proposed, bases, shown.advance)
    write_plan(kept, proposals)
    entries = [asdict(proposal) for proposal in proposals]
    if estimate:
        by_job = {one.job: asdict(one) for one in found}
        entries = [entry | {"estimate": by_job.get(entry["job"])} for entry in entries]
    for remark in remarks_on_bases(jobs, proposals, bases, named, chosen):
        output.remark(remark)
    output.items(entries, _ESTIMATED if estimate else _PLANNED)
    trained = sum(proposal.request is not None for proposal in proposals)
    output.remark(f"{trained:,} of {len(entries):,} jobs can be trained again.")
    output.remark(
        f"Change {archive / 'plan.json'} if need be, then run `tunery import-openai apply --retrain`."
    )


@api_command(app, "apply")
def apply(
    api: Api,
    output: Output,
    archive: ArchiveFolder = DEFAULT_ARCHIVE,
    retrain: Annotated[bool, typer.Option("--retrain", help="Also create the jobs.")] = False,
    job: Annotated[
        list[str] | None,
        typer.Option("--job", metavar="ftjob-…", help="Apply only this job; can be repeated."),
    ] = None,
    no_wait: Annotated[
        bool,
        typer.Option(
            "--no-wait", help="Return once the jobs are created, and name the models in a later run."
        ),
    ] = False,
) -> None:
    """Upload the plan's files, train its jobs again, and point the old model names at the new models. Run it
    again to resume."""
    kept = Archive.open(archive)
    entries = read_plan(kept, job or ())
    try:
        results = apply_plan(
            api,
            Uploads(api, kept),
            entries,
            old_checkpoints=lambda job: kept.lines("checkpoints", job),
            is_retrained=retrain,
            is_awaited=not no_wait,
            remark=output.remark,
        )
    except KeyboardInterrupt:
        output.remark("The jobs continue. Run the command again to give the old names to their models.")
        raise
    output.items([asdict(result) for result in results], _APPLIED)
    if any(result.problem for result in results):
        raise CommandFailed("Not everything could be done; the problems are above.", FAILED)


def _choices(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if any(not old or not new for old, _, new in pairs):
        raise CommandFailed("Give --base-for as OLD=BASE, such as gpt-4o-mini=my-base.", USAGE)
    return {old: new for old, _, new in pairs}


def _hyperparameters(entry: Item) -> str:
    if not entry["request"]:
        return ""
    method = entry["request"].get("method") or {}
    found = (method.get(method.get("type")) or {}).get("hyperparameters") or {}
    return " ".join(f"{name}={value}" for name, value in found.items())


def _time(estimate: Item | None) -> str:
    if estimate is None or estimate["seconds_low"] is None:
        return ""
    return f"{duration(estimate['seconds_low'])} to {duration(estimate['seconds_high'])}"


def _price(estimate: Item | None) -> str:
    if estimate is None or estimate["price_low"] is None:
        return ""
    return f"{estimate['price_low']:.2f} to {estimate['price_high']:.2f} {estimate['currency']}"
