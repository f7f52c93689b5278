"""`tunery backup`: a copy of the database and of all objects that it needs."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.contracts.errors import TuneryError
from service.backup.installation import opened, read_secret
from service.backup.making import make_backup
from service.backup.pruning import delete_oldest, delete_unfinished
from service.cli.commands import local_command
from service.cli.failures import CommandFailed
from service.cli.output import Output, date
from service.cli.progress import bar
from service.cli.server.options import DataFolder, KeyFile

app = typer.Typer()


@local_command(app, "backup")
def backup(
    output: Output,
    folder: Annotated[
        Path, typer.Argument(help="The backup's folder, which must be new or empty.", metavar="FOLDER")
    ],
    data: DataFolder = Path(".tunery"),
    key_file: KeyFile = None,
    without_objects: Annotated[
        bool,
        typer.Option(
            "--without-objects",
            help="List the objects without copying them, and rely on the store's own versions or replicas "
            "for their contents.",
        ),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep only this many of the newest backups next to FOLDER, including this one, and delete "
            "the rest; leftovers of interrupted backups are deleted first. Without it, nothing is "
            "deleted.",
        ),
    ] = None,
) -> None:
    """Back up the database and the stored objects it refers to, without stopping the installation.

    The backup is consistent as of a single point in time. It contains webhook secrets, so only its owner can
    read it; with a key file, it is also encrypted."""
    try:
        secret = read_secret(key_file)
        # First, to make room.
        left = [] if keep is None else delete_unfinished(folder.absolute().parent)
        with opened(data) as (database, store), bar("rows", None, "percent", is_transient=True) as shown:
            manifest = make_backup(
                database,
                store,
                folder,
                secret=secret,
                copies_objects=not without_objects,
                progress=lambda what, done, total: shown.update(done, total, what),
            )
        old = [] if keep is None else delete_oldest(folder.absolute().parent, keep)
    except TuneryError as error:
        raise CommandFailed(error.message) from error
    for deleted in left:
        output.remark(f"{deleted} was no whole backup, and is deleted.")
    for deleted in old:
        output.remark(f"{deleted} is deleted: --keep {keep}.")
    objects = manifest.objects
    listed = f"{objects.objects:,} objects of {objects.bytes:,} bytes"
    if objects.missing:
        output.remark(
            f"{objects.missing:,} objects that rows name were not in storage: `tunery reconcile` says which."
        )
    output.done(
        {"folder": str(folder), **manifest.model_dump(mode="json", exclude={"files", "signature"})},
        f"{folder}: {sum(manifest.rows.values()):,} rows as of {date(manifest.created_at)}, "
        + (listed if objects.are_copied else f"without the {listed}")
        + (", encrypted." if manifest.encryption else "."),
    )
