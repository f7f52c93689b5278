"""`tunery jobs`: shows and controls jobs, and compares their results."""

from itertools import islice
from typing import Annotated, Any, Literal

import typer

from service.cli import completion
from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import CommandFailed
from service.cli.jobs import options
from service.cli.jobs.comparison import compared
from service.cli.jobs.estimates import worker_counts
from service.cli.jobs.following import logged_events
from service.cli.jobs.repeating import taken_over, unknown_integrations
from service.cli.jobs.starting import create, estimated, finish
from service.cli.jobs.watching import check_ended_well, event_line, watch
from service.cli.lookups import find_job, quoted
from service.cli.output import Columns, Item, Output, date
from service.cli.remote import Api

State = Literal[
    "validating_files",
    "queued",
    "starting",
    "running",
    "publishing",
    "pausing",
    "paused",
    "succeeded",
    "failed",
    "cancelled",
]
"""The API's own are not imported: that would take longer than most commands."""

app = typer.Typer(help="List, follow, control and compare fine-tuning jobs.", no_args_is_help=True)

_PATH = "/fine_tuning/jobs"
_Job = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id, ftjob-….", autocompletion=completion.jobs)
]


def _progress(job: Item) -> str | None:
    progress = job["tunery"]["progress"]
    return progress and f"{progress['step']}/{progress['total_steps']}"


def _queue(job: Item) -> str | None:
    queue = job["tunery"]["queue"]
    return queue and f"number {queue['position']}: {queue['message']}"


def _error(job: Item) -> str | None:
    error = job["error"]
    return error and f"{error['message']} ({error['code']})"


def _workers(job: Item) -> str | None:
    """Workers of an elastic job."""
    workers = job["tunery"]["workers"]
    if workers is None:
        return None
    counts = worker_counts(workers)
    return counts if workers["current"] is None else f"{workers['current']} now, of {counts}"


_COLUMNS: Columns = {
    "JOB": "id",
    "STATUS": lambda job: job["tunery"]["state"],
    "STEP": _progress,
    "MODEL": "model",
    "TUNED MODEL": "fine_tuned_model",
    "CREATED": lambda job: date(job["created_at"]),
}
_DETAILS: Columns = {
    **_COLUMNS,
    "FINISHED": lambda job: date(job["finished_at"]),
    "ERROR": _error,
    "METHOD": lambda job: job["method"]["type"],
    "HYPERPARAMETERS": lambda job: ", ".join(f"{k} {v}" for k, v in job["hyperparameters"].items()),
    "TYPE": lambda job: job["tunery"]["training"]["type"],
    "SEED": "seed",
    "TRAINING FILE": "training_file",
    "VALIDATION FILE": "validation_file",
    "TRAINED TOKENS": "trained_tokens",
    "RESULT FILES": lambda job: " ".join(job["result_files"]),
    "PRIORITY": lambda job: job["tunery"]["priority"],
    "QUEUE": _queue,
    "WORKERS": _workers,
    "ATTEMPT": lambda job: job["tunery"]["attempt"],
    "METADATA": lambda job: ", ".join(f"{k}={v}" for k, v in (job["metadata"] or {}).items()),
}
_EVENTS: Columns = {"AT": lambda event: date(event["created_at"]), "EVENT": event_line}


@api_command(app, "ls")
def ls(
    api: Api,
    output: Output,
    status: Annotated[
        State | None,
        typer.Option("--status", metavar="STATUS", help="Show only jobs with this status, such as running."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of jobs to show, newest first.", min=1)] = 20,
    is_unlimited: Annotated[
        bool, typer.Option("--all", help="Show all jobs, regardless of --limit.")
    ] = False,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata", metavar="KEY=VALUE", help="Show only jobs with this metadata; can be repeated."
        ),
    ] = None,
) -> None:
    """List jobs, newest first."""
    wanted: dict[str, Any] = {
        f"metadata[{k}]": v for k, v in options.pairs(metadata or [], "--metadata").items()
    }
    jobs = (
        job
        for job in api.list(_PATH, **wanted)
        if status is None or status in (job["status"], job["tunery"]["state"])
    )
    found = list(jobs if is_unlimited else islice(jobs, limit))
    has_more = next(jobs, None) is not None
    output.items(found, _COLUMNS)
    if has_more:
        output.remark("There are more; --limit or --all shows them.")


@api_command(app, "get")
def get(api: Api, output: Output, job: _Job) -> None:
    """Show a job."""
    output.item(find_job(api, job), _DETAILS)


@api_command(app, "logs")
def logs(
    api: Api,
    output: Output,
    job: _Job,
    is_followed: Annotated[
        bool,
        typer.Option(
            "--follow",
            "-f",
            help="Keep printing new events until the job ends. With --json, prints one event per line.",
        ),
    ] = False,
    tail: Annotated[
        int | None,
        typer.Option(help="Print only this many of the newest events, and any that follow.", min=1),
    ] = None,
) -> None:
    """Print a job's events, oldest first."""
    events = logged_events(api, find_job(api, job)["id"], is_followed=is_followed, tail=tail)
    if output.wants_json and not is_followed:
        output.items(events, _EVENTS)
        return
    for event in events:
        output.line(event, _EVENTS)


@api_command(app, "wait")
def wait(api: Api, output: Output, job: _Job) -> None:
    """Follow a job until it ends. Exits with 5 if the job fails. Ctrl-C leaves the job running."""
    ended = watch(api, find_job(api, job)["id"])
    if output.wants_json:
        output.json(ended)
    check_ended_well(ended)
    if not output.wants_json:
        output.done(ended, ended["fine_tuned_model"])


@api_command(app, "cancel")
def cancel(api: Api, output: Output, job: _Job, yes: Yes = False) -> None:
    """Cancel a job permanently."""
    confirm(f"Cancel {job} for good? `tunery jobs pause` stops it until it is resumed.", yes=yes)
    _steer(api, output, job, "cancel")


@api_command(app, "pause")
def pause(api: Api, output: Output, job: _Job) -> None:
    """Pause a job and free its devices, until it is resumed."""
    _steer(api, output, job, "pause")


@api_command(app, "resume")
def resume(api: Api, output: Output, job: _Job) -> None:
    """Put a paused job back into the queue."""
    _steer(api, output, job, "resume")


@api_command(app, "priority")
def priority(
    api: Api,
    output: Output,
    job: _Job,
    wanted: Annotated[
        Literal["low", "normal", "high"], typer.Argument(metavar="PRIORITY", help="low, normal or high.")
    ],
) -> None:
    """Change a job's priority, and with it its position in the queue."""
    found = find_job(api, job)
    changed = api.post(f"{_PATH}/{quoted(found['id'])}/priority", {"priority": wanted})
    output.done(changed, f"{changed['id']} has the priority {wanted}.")


@api_command(app, "rerun")
def rerun(
    api: Api,
    output: Output,
    job: _Job,
    suffix: options.Suffix = None,
    seed: options.Seed = None,
    metadata: options.Metadata = None,
    priority: options.FormerPriority = None,
    has_no_integrations: Annotated[
        bool, typer.Option("--no-integrations", help="Do not report to the original job's trackers.")
    ] = False,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate_multiplier: options.LearningRate = None,
    beta: options.Beta = None,
    training: options.Training = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id without following the job.")
    ] = False,
) -> None:
    """Run a job again with the same seed, settings, priority, metadata and integrations, except for those you
    set here."""
    source = find_job(api, job)
    given: dict[str, int | float | None] = {
        "n_epochs": epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": learning_rate_multiplier,
        "beta": beta,
    }
    is_changed = any(value is not None for value in given.values())
    body = options.job_body(
        model=source["model"],
        suffix=suffix or source["user_provided_suffix"],
        seed=seed,
        method=source["method"]["type"] if is_changed else None,
        hyperparameters=given,
        training=options.training_options(None, None, training) | {"source_job": source["id"]},
        metadata=metadata,
        priority=priority,
    )
    body["training_file"] = source["training_file"]
    body = taken_over(source, body, with_integrations=not has_no_integrations)
    if (unknown := unknown_integrations(source)) and not has_no_integrations:
        output.remark(f"Without {' and '.join(unknown)}: the API does not show their options.")
    estimated(api, output, body)
    finish(api, output, create(api, output, body), detach=detach)


@api_command(app, "compare")
def compare(
    api: Api,
    output: Output,
    jobs: Annotated[
        list[str],
        typer.Argument(metavar="JOB...", help="Ids of two or more jobs.", autocompletion=completion.jobs),
    ],
) -> None:
    """Show the settings and results of jobs side by side."""
    if len(jobs) < 2:
        raise CommandFailed("Give two jobs or more.", 2)
    found = [find_job(api, job) for job in jobs]
    checkpoints = [api.get(f"{_PATH}/{quoted(job['id'])}/checkpoints", limit=1)["data"] for job in found]
    described = [
        compared(job, last[0] if last else None) for job, last in zip(found, checkpoints, strict=True)
    ]
    if output.wants_json:
        output.items(described, {})
        return
    rows = [{"name": name, **{str(n): one[name] for n, one in enumerate(described)}} for name in described[0]]
    columns: Columns = {"": "name", **{job["id"]: str(n) for n, job in enumerate(found)}}
    output.items(rows, columns)


def _steer(api: Api, output: Output, job: str, verb: str) -> None:
    found = find_job(api, job)
    changed = api.post(f"{_PATH}/{quoted(found['id'])}/{verb}")
    output.done(changed, f"{changed['id']} is {changed['tunery']['state']}.")
