"""Keeps logs after the process that wrote them has ended, and bounds their size."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAX_LOG_BYTES = 16 << 20
"""A longer log file is rotated."""
BACKUP_COUNT = 3
"""Number of older files that are kept of each log. `name.1` is the newest."""
RAY_RUNS_KEPT = 5
"""Number of Ray's runs whose logs are kept, each in its own folder."""


def rotate(log: Path, *, longest: int = MAX_LOG_BYTES) -> None:
    """Moves the content of an overlong log file to `name.1`. Processes that have it open for appending
    continue at its new beginning; a line that is written at this very moment may be lost. If there is no room
    for the copy, nothing changes."""
    with suppress(OSError):
        if log.stat().st_size <= longest:
            return
        for age in range(BACKUP_COUNT, 1, -1):
            with suppress(FileNotFoundError):
                _older(log, age - 1).replace(_older(log, age))
        _copy_end(log, _older(log, 1), longest)
        os.truncate(log, 0)


def archive_ray_logs(ray_folder: Path, logs: Path) -> None:
    """Copies the logs of each session in `ray_folder`, Ray's temporary folder, to a folder with the session's
    name in `logs`, and deletes the logs of the oldest runs. Only the end of a long file is copied. Files that
    cannot be copied are skipped: losing logs is better than keeping an installation from stopping or
    starting."""
    for session in sorted(ray_folder.glob("session_*")):
        if session.is_symlink():
            continue
        for source in _files(session / "logs"):
            target = logs / session.name / source.relative_to(session / "logs")
            with suppress(OSError):
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy_end(source, target, MAX_LOG_BYTES)
    with suppress(OSError):
        # The names begin with the start time, so they sort by age.
        for old in sorted(logs.glob("session_*"))[:-RAY_RUNS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for path in (Path(place) / name for name in names):
            if path.is_file() and not path.is_symlink():
                yield path


def _copy_end(source: Path, target: Path, longest: int) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        reader.seek(max(0, os.fstat(reader.fileno()).st_size - longest))
        shutil.copyfileobj(reader, writer, 1 << 20)


def _older(log: Path, age: int) -> Path:
    return log.with_name(f"{log.name}.{age}")
