"""`tunery maintenance`: needs the operator's key."""

from typing import Annotated, Any

import typer

from service.cli.commands import api_command
from service.cli.output import Output, date
from service.cli.remote import Api

app = typer.Typer(
    help="Put the installation's jobs on hold for maintenance. Requires the operator's key.",
    no_args_is_help=True,
)

_ROOT = "/maintenance"


@api_command(app, "on")
def on(
    api: Api,
    output: Output,
    pause: Annotated[
        bool,
        typer.Option("--pause", help="Pause running jobs at a checkpoint instead of letting them finish."),
    ] = False,
) -> None:
    """Begin maintenance: no jobs are created or started, but files and models stay usable."""
    _show(output, api.post(_ROOT, {"pauses_jobs": pause}))


@api_command(app, "off")
def off(api: Api, output: Output) -> None:
    """End maintenance: jobs start and continue again."""
    _show(output, api.delete(_ROOT))


@api_command(app, "status")
def status(api: Api, output: Output) -> None:
    """Show whether maintenance is on."""
    _show(output, api.get(_ROOT))


def _show(output: Output, found: dict[str, Any]) -> None:
    if not found["is_on"]:
        output.done(found, "off")
        return
    running = "pause" if found["pauses_jobs"] else "finish"
    output.done(found, f"on since {date(found['since'])}; jobs that run {running}")
