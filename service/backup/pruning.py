"""Deletes old backups, and the remains of interrupted ones, from the folder in which a new one is made.
Anything that does not look like a backup of Tunery is left alone."""

import shutil
import time
from pathlib import Path

from pydantic import ValidationError

from cluster.storage.files import as_domain_error
from service.backup.folder import MANIFEST, OBJECT_LIST, BackupManifest

_PARTS = {"tables", "objects", OBJECT_LIST}
_SILENT_SECONDS = 3600.0
"""A backup that is being made writes continuously."""


def delete_unfinished(parent: Path) -> list[Path]:
    """Deletes folders of backups without a manifest into which nothing was written for an hour, and returns
    them. Raises Unavailable if the disk fails."""
    found = [one for one in _folders(parent) if _is_unfinished(one)]
    for folder in found:
        _delete(folder)
    return found


def delete_oldest(parent: Path, keep: int) -> list[Path]:
    """Deletes all complete backups except the newest `keep`, by the time of their snapshots, and returns
    them. Raises Unavailable if the disk fails."""
    times = {folder: created_at for folder in _folders(parent) if (created_at := _created_at(folder))}
    oldest = sorted(times, key=lambda folder: (times[folder], folder.name), reverse=True)[keep:]
    for folder in oldest:
        _delete(folder)
    return oldest


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(one for one in parent.iterdir() if one.is_dir() and not one.is_symlink())


def _is_unfinished(folder: Path) -> bool:
    try:
        names = {one.name for one in folder.iterdir()}
        if not (folder / "tables").is_dir() or not names <= _PARTS:
            return False
        newest = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        # The folder is not readable for this user, or somebody is deleting it now.
        return False
    return newest < time.time() - _SILENT_SECONDS


def _created_at(folder: Path) -> int | None:
    """None if there is no readable manifest."""
    try:
        return BackupManifest.model_validate_json((folder / MANIFEST).read_bytes()).created_at
    except (OSError, ValidationError):
        return None


def _delete(folder: Path) -> None:
    try:
        # Deleted first, so that nobody takes the rest for a backup.
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise as_domain_error(error, folder) from error
