"""The `tunery` command."""

import os
from pathlib import Path
from typing import Annotated

import typer

from service.cli import bases, data_check, keys, models, projects, webhooks

app = typer.Typer(
    name="tunery",
    help="The fine-tuning API that you own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(data_check.app, name="data")
app.add_typer(projects.app, name="projects")
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(bases.app, name="bases")


@app.callback()
def _root() -> None:
    """The fine-tuning API that you own."""


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Data folder; created if it does not exist.")] = Path(".tunery"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
) -> None:
    """Start the API, the scheduler, a local Ray and the serving engine; Ctrl-C stops them all."""
    from cluster.contracts.errors import InvalidConfiguration
    from service.up import AlreadyRunning, PortTaken
    from service.up import up as run

    try:
        run(data, host, port, say=_say)
    except (AlreadyRunning, InvalidConfiguration, PortTaken) as error:
        typer.echo(f"tunery up: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Data folder; a temporary one by default.")] = None,
) -> None:
    """Fine-tune the built-in model on 250 bundled examples and compare its answers with its base's."""
    from service.cli.demo import DemoFailed, run_demo

    try:
        run_demo(data)
    except DemoFailed as error:
        typer.echo(f"tunery demo: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def sweep(
    data: Annotated[
        Path,
        typer.Option(
            help="Data folder of the installation, unless the environment names its database and storage."
        ),
    ] = Path(".tunery"),
    grace: Annotated[
        float | None,
        typer.Option(
            help="Keep objects younger than this many seconds; TUNERY_SWEEP_GRACE_SECONDS by default.", min=0
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed without removing it.")
    ] = False,
) -> None:
    """Remove what deleted files, deleted models, ended jobs and crashes have left in storage."""
    from service.sweep import SweepFailed, sweep_now

    try:
        sweep_now(data, grace_seconds=grace, is_dry_run=dry_run, say=_say)
    except SweepFailed as error:
        typer.echo(f"tunery sweep: {error}", err=True)
        raise typer.Exit(1) from None


def _say(line: str) -> None:
    # A closed pipe must not end the service.
    try:
        typer.echo(line)
    except BrokenPipeError:
        os.close(1)
