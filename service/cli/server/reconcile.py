"""`tunery reconcile`: compares the database with the storage and with Ray."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.contracts.errors import TuneryError
from service.cli.commands import local_command
from service.cli.failures import CommandFailed
from service.cli.output import Columns, Output
from service.cli.server.options import DataFolder
from service.reconcile.reconciling import reconcile as compare

app = typer.Typer()

_COLUMNS: Columns = {"VERDICT": "verdict", "CHECK": "check", "SUBJECT": "subject", "FOUND": "found"}


@local_command(app, "reconcile")
def reconcile(
    output: Output,
    data: DataFolder = Path(".tunery"),
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Stop this installation's processes on Ray that belong to no attempt."),
    ] = False,
) -> None:
    """Check that the database agrees with storage, and with Ray if TUNERY_RAY_URL is set.

    Changes nothing without --fix. Exits with 1 if data is missing or orphaned processes are running."""
    try:
        findings = list(compare(data, fixes=fix))
    except TuneryError as error:
        raise CommandFailed(error.message) from error
    output.items([finding.as_item() for finding in findings], _COLUMNS)
    if failed := sum(finding.verdict == "failed" for finding in findings):
        raise CommandFailed(f"{failed:,} findings need you.")
