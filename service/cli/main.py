"""The `tunery` command."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from service.cli.deferred import Deferred, deferring

_TUNING, _MODELS, _PROJECT, _MACHINE = "Fine-tuning", "Models", "Project", "This machine"
COMMANDS = {
    "run": Deferred(
        "service.cli.jobs.run",
        "Turn a file into a model: check it, upload it, show an estimate, ask for confirmation, and "
        "follow the training.",
        _TUNING,
    ),
    "jobs": Deferred(
        "service.cli.jobs.commands", "List, follow, control and compare fine-tuning jobs.", _TUNING
    ),
    "data": Deferred(
        "service.cli.files.commands", "Check, convert, repair and preview training files.", _TUNING
    ),
    "chat": Deferred("service.cli.models.chat", "Chat with a model.", _MODELS),
    "models": Deferred("service.cli.models.commands", "Manage models and their aliases.", _MODELS),
    "bases": Deferred("service.cli.server.bases", "Manage the base models of this installation.", _MODELS),
    "usage": Deferred(
        "service.cli.admin.usage", "Show the usage of the project's keys, by day and model.", _PROJECT
    ),
    "queue": Deferred(
        "service.cli.admin.queue",
        "Show the organization's queued jobs, with each job's position and what it is waiting for. "
        "Requires an admin key.",
        _PROJECT,
    ),
    "pools": Deferred(
        "service.cli.admin.pools",
        "Show the devices that jobs train on, how many of them are in use, and how many may be used. "
        "Requires an admin key.",
        _PROJECT,
    ),
    "webhooks": Deferred(
        "service.cli.admin.webhooks",
        "Manage the webhook endpoints that receive a project's events.",
        _PROJECT,
    ),
    "organizations": Deferred(
        "service.cli.admin.organizations",
        "Manage the organizations of this installation. Requires the operator's key.",
        _PROJECT,
    ),
    "maintenance": Deferred(
        "service.cli.admin.maintenance",
        "Put the installation's jobs on hold for maintenance. Requires the operator's key.",
        _PROJECT,
    ),
    "projects": Deferred(
        "service.cli.admin.project_commands",
        "Manage the organization's projects. Requires an admin key.",
        _PROJECT,
    ),
    "keys": Deferred(
        "service.cli.admin.keys", "Manage a project's keys, and admin keys. Requires an admin key.", _PROJECT
    ),
    "audit": Deferred(
        "service.cli.admin.audit",
        "Show and verify the organization's audit log. Requires an admin key.",
        _PROJECT,
    ),
    "import-openai": Deferred(
        "service.cli.import_openai.commands", "Migrate fine-tuning from OpenAI to Tunery.", _PROJECT
    ),
    "vllm": Deferred(
        "service.cli.server.vllm", "Manage the environment of vLLM, which serves models on GPUs.", _MACHINE
    ),
    "backup": Deferred(
        "service.cli.server.backup",
        "Back up the database and the stored objects it refers to, without stopping the installation.",
        _MACHINE,
    ),
    "restore": Deferred(
        "service.cli.server.restore",
        "Restore a backup into an empty installation, before its first start.",
        _MACHINE,
    ),
    "reconcile": Deferred(
        "service.cli.server.reconcile",
        "Check that the database agrees with storage, and with Ray if TUNERY_RAY_URL is set.",
        _MACHINE,
    ),
    "reencrypt": Deferred(
        "service.cli.server.reencrypt",
        "Re-encrypt the objects in S3 with the projects' current keys.",
        _MACHINE,
    ),
    "doctor": Deferred(
        "service.cli.server.doctor",
        "Check the connection, the API key, and the server's components and clock.",
        _MACHINE,
    ),
}
"""Commands by name. Their modules are imported when they run."""

app = typer.Typer(
    name="tunery",
    cls=deferring(COMMANDS),
    help="The fine-tuning API that you own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(version("tunery"))
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """The fine-tuning API that you own."""


@app.command(rich_help_panel=_MACHINE)
def up(
    data: Annotated[Path, typer.Option(help="Data folder; created if it does not exist.")] = Path(".tunery"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
) -> None:
    """Start the API, the scheduler, a local Ray cluster and the serving engine; Ctrl-C stops them all."""
    from cluster.contracts.errors import InvalidConfiguration
    from service.up import AlreadyRunning, PortTaken
    from service.up import up as run

    try:
        run(data, host, port, say=_say)
    except (AlreadyRunning, InvalidConfiguration, PortTaken) as error:
        typer.echo(f"tunery up: {error}", err=True)
        raise typer.Exit(1) from None


@app.command(rich_help_panel=_MACHINE)
def demo(
    data: Annotated[Path | None, typer.Option(help="Data folder; a temporary one by default.")] = None,
) -> None:
    """Fine-tune the built-in model on 250 bundled examples and compare its answers with the base model's."""
    from service.cli.failures import CommandFailed
    from service.cli.server.demo import DemoFailed, run_demo

    try:
        run_demo(data)
    except (CommandFailed, DemoFailed) as error:
        typer.echo(f"tunery demo: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command(rich_help_panel=_MACHINE)
def sweep(
    data: Annotated[
        Path,
        typer.Option(
            help="Data folder of the installation; ignored if the environment names its database and storage."
        ),
    ] = Path(".tunery"),
    grace: Annotated[
        float | None,
        typer.Option(
            help="Keep objects younger than this, in seconds; TUNERY_SWEEP_GRACE_SECONDS by default.", min=0
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the objects that would be removed, without deleting anything."),
    ] = False,
) -> None:
    """Delete data that has passed its retention period, and remove what deleted files, deleted models,
    finished jobs and crashes have left behind in storage."""
    from cluster.contracts.errors import TuneryError
    from service.sweep import sweep_now

    try:
        sweep_now(data, grace_seconds=grace, is_dry_run=dry_run, say=_say)
    except TuneryError as error:
        typer.echo(f"tunery sweep: {error.message}", err=True)
        raise typer.Exit(1) from None


def _say(line: str) -> None:
    # A closed pipe must not end the service.
    try:
        typer.echo(line)
    except BrokenPipeError:
        os.close(1)
