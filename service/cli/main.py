"""The `tunery` command."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="tunery",
    help="The fine-tuning API that you own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """The fine-tuning API that you own."""


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Folder that holds everything; made if absent.")] = Path(
        ".tunery"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
) -> None:
    """Start the API, the scheduler, a local Ray and the serving engine; Ctrl-C ends them all."""
    from service.up import AlreadyRunning, PortTaken
    from service.up import up as run

    try:
        run(data, host, port, say=_say)
    except (AlreadyRunning, PortTaken) as error:
        typer.echo(f"tunery up: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="Keep everything in this folder; by default it is temporary.")
    ] = None,
) -> None:
    """Fine-tune the built-in model on 250 shipped examples and ask it beside its base."""
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
        Path, typer.Option(help="Folder of the installation, unless the environment names its parts.")
    ] = Path(".tunery"),
    grace: Annotated[
        float | None,
        typer.Option(
            help="Leave what is younger than this many seconds; TUNERY_SWEEP_GRACE_SECONDS by default.", min=0
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
) -> None:
    """Free storage of deleted files and models and of what ended jobs and crashes left behind."""
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
