"""`tunery reencrypt`: re-encrypts stored objects with the projects' current keys."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.contracts.errors import TuneryError
from service.backup.installation import opened
from service.cli.commands import local_command
from service.cli.failures import CommandFailed
from service.cli.output import Output
from service.cli.progress import bar
from service.cli.server.options import DataFolder
from service.reencryption import reencrypt as encrypt_anew

app = typer.Typer()


@local_command(app, "reencrypt")
def reencrypt(
    output: Output,
    data: DataFolder = Path(".tunery"),
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only report how much is encrypted with a key other than its project's."
        ),
    ] = False,
) -> None:
    """Re-encrypt the objects in S3 with the projects' current keys.

    S3 copies each object with a different key onto itself, without stopping the installation. An interrupted
    run can be repeated."""
    try:
        with opened(data) as (database, store), bar("objects", None, "items", is_transient=True) as shown:
            done = encrypt_anew(
                database,
                store,
                lambda done, total: shown.update(done, total, "objects"),
                is_dry_run=dry_run,
            )
    except TuneryError as error:
        raise CommandFailed(error.message) from error
    verb = "Would be encrypted anew" if dry_run else "Encrypted anew"
    output.done(
        {"objects": done.objects, "bytes": done.bytes, "kept_objects": done.kept_objects, "dry_run": dry_run},
        f"{verb}: {done.objects:,} objects of {done.bytes:,} bytes. "
        f"{done.kept_objects:,} have the right key already.",
    )
