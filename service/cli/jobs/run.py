"""`tunery run`: from a file to a model in one command."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.contracts.data_report import DataReport
from service.cli import completion
from service.cli.commands import api_command
from service.cli.failures import USAGE, CommandFailed
from service.cli.files.check import check_or_fail, refusal_of_jobs
from service.cli.files.uploads import upload
from service.cli.jobs import options
from service.cli.jobs.rights import check_rights
from service.cli.jobs.starting import confirm, create, estimated, finish
from service.cli.lookups import find_model
from service.cli.output import Output
from service.cli.remote import Api

app = typer.Typer()

_STORED = "file-"


@api_command(app, "run")
def run(
    api: Api,
    output: Output,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The training file, or the id of an uploaded one.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="A base model, or a tuned model to continue from.",
            autocompletion=completion.models,
        ),
    ],
    validation: Annotated[
        str | None, typer.Option(help="The validation file, or the id of an uploaded one.")
    ] = None,
    suffix: options.Suffix = None,
    seed: options.Seed = None,
    metadata: options.Metadata = None,
    priority: options.PriorityName = None,
    method: options.MethodName = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate_multiplier: options.LearningRate = None,
    beta: options.Beta = None,
    type: options.TrainingType = None,
    rank: options.Rank = None,
    training: options.Training = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Start the job without asking for confirmation.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the job's id without following the job.")
    ] = False,
) -> None:
    """Turn a file into a model: check it, upload it, show an estimate, ask for confirmation, and follow the
    training.

    Ctrl-C leaves the job running; `tunery jobs wait` follows it again."""
    report = _checked(file)
    if report is not None and (reason := refusal_of_jobs(report)):
        raise CommandFailed(f"{file}: {reason}")
    if validation is not None:
        _checked(validation)
    body = options.job_body(
        model=model,
        suffix=suffix,
        seed=seed,
        method=method or ("dpo" if report is not None and report.format == "preference" else None),
        hyperparameters={
            "n_epochs": epochs,
            "batch_size": batch_size,
            "learning_rate_multiplier": learning_rate_multiplier,
            "beta": beta,
        },
        training=options.training_options(type, rank, training),
        metadata=metadata,
        priority=priority,
    )
    if not yes and not sys.stdin.isatty():
        raise CommandFailed("Add --yes to start a job without being asked.", USAGE)
    find_model(api, model)
    check_rights(api, body)
    body["training_file"] = _uploaded(api, output, file)
    if validation is not None:
        body["validation_file"] = _uploaded(api, output, validation)
    body["seed"] = estimated(api, output, body)["seed"]
    if not yes:
        confirm(body["training_file"])
    finish(api, output, create(api, output, body), detach=detach)


def _checked(name: str) -> DataReport | None:
    """Returns the report on a local file. Raises CommandFailed if it would be refused."""
    if _is_stored(name):
        return None
    path = Path(name)
    if not path.is_file():
        raise CommandFailed(f"There is no file {name}.", USAGE)
    return check_or_fail(path)


def _uploaded(api: Api, output: Output, name: str) -> str:
    if _is_stored(name):
        return name
    file: dict[str, Any] = upload(api, Path(name), "fine-tune")
    output.remark(f"Uploaded {name} as {file['id']}.")
    return str(file["id"])


def _is_stored(name: str) -> bool:
    return name.startswith(_STORED) and not Path(name).exists()
