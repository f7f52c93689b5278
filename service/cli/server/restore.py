"""`tunery restore`: restores an installation from a backup."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.contracts.errors import TuneryError
from service.backup.folder import BackupReader
from service.backup.installation import opened, read_secret
from service.backup.restoring import KeyReplacements, check_backup, check_empty, check_encryption
from service.backup.restoring import restore as restore_backup
from service.cli.commands import local_command
from service.cli.failures import USAGE, CommandFailed
from service.cli.output import Output, date
from service.cli.progress import bar
from service.cli.server.options import DataFolder, KeyFile

app = typer.Typer()


@local_command(app, "restore")
def restore(
    output: Output,
    folder: Annotated[Path, typer.Argument(help="The backup's folder.", metavar="FOLDER")],
    data: DataFolder = Path(".tunery"),
    key_file: KeyFile = None,
    keep_objects: Annotated[
        bool,
        typer.Option(
            "--keep-objects",
            help="Allow storage that already has objects, because it is the installation's own or a restore "
            "was interrupted.",
        ),
    ] = False,
    maintenance: Annotated[
        bool,
        typer.Option(
            "--maintenance",
            help="Begin maintenance, so that no job continues until `tunery maintenance off`.",
        ),
    ] = False,
    encryption_key: Annotated[
        list[str] | None,
        typer.Option(
            "--encryption-key",
            metavar="OLD=NEW",
            help="Replace the projects' encryption key OLD with another key of the storage; OLD= for none; "
            "can be repeated.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only read the whole backup and report whether it is intact.")
    ] = False,
) -> None:
    """Restore a backup into an empty installation, before its first start.

    The backup is checked first. Jobs that were running when it was made continue from their newest state. A
    backup of SQLite can be restored into PostgreSQL and vice versa; a backup from an earlier version is
    migrated."""
    restored = None
    replacements = _replacements(encryption_key or [])
    try:
        backup = BackupReader(folder, read_secret(key_file))
        with bar("checking", None, "percent", is_transient=True) as shown:

            def progress(what: str, done: int, total: int | None) -> None:
                shown.update(done, total, what)

            if check:
                check_backup(backup, progress)
            else:
                with opened(data, is_new=True) as (database, store):
                    check_empty(database, store, keeps_objects=keep_objects)
                    check_backup(backup, progress)
                    check_encryption(backup, store, replacements)
                    restored = restore_backup(
                        backup,
                        database,
                        store,
                        progress,
                        begins_maintenance=maintenance,
                        replacements=replacements,
                    )
    except TuneryError as error:
        raise CommandFailed(error.message) from error
    made = f"{folder}, of {date(backup.manifest.created_at)},"
    if restored is None:
        output.done({"folder": str(folder), "is_intact": True}, f"{made} is intact.")
        return
    when = "after `tunery maintenance off`" if maintenance else "once the scheduler runs"
    output.done(
        {
            "folder": str(folder),
            "created_at": backup.manifest.created_at,
            "rows": restored.rows,
            "objects": restored.objects,
            "bytes": restored.bytes,
            "kept_objects": restored.kept_objects,
            "missing_objects": restored.missing_objects,
            "unfinished_jobs": restored.unfinished_jobs,
        },
        f"{made} is restored: {restored.rows:,} rows and {restored.objects:,} objects of "
        f"{restored.bytes:,} bytes. {restored.unfinished_jobs:,} jobs are unfinished; all but paused ones go "
        f"on {when}. `tunery reconcile` says whether all is there.",
    )


def _replacements(given: list[str]) -> KeyReplacements:
    found: dict[str, str | None] = {}
    for one in given:
        old, separator, new = one.partition("=")
        if not old or not separator:
            raise CommandFailed(f"'{one}' is no pair of keys: write OLD=NEW, or OLD= for none.", USAGE)
        found[old] = new or None
    return found
