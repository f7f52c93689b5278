"""Logs that are there after the process that wrote them, and do not grow without end."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAX_LOG_BYTES = 16 << 20
"""Of a log file; one that is longer becomes an older one."""
BACKUP_COUNT = 3
"""Of each log file, beside it: `name.1` is the newest."""
RAY_RUNS_KEPT = 5
"""Of Ray, each with a folder of logs."""


def rotate(log: Path, *, longest: int = MAX_LOG_BYTES) -> None:
    """Moves what is in a log file that has grown too long to `name.1`. Whoever has it open to append to it
    goes on at its new beginning; a line that is written in this very moment may be lost. Without room for the
    copy everything stays as it is."""
    with suppress(OSError):
        if log.stat().st_size <= longest:
            return
        for age in range(BACKUP_COUNT, 1, -1):
            with suppress(FileNotFoundError):
                _older(log, age - 1).replace(_older(log, age))
        _copy_end(log, _older(log, 1), longest)
        os.truncate(log, 0)


def archive_ray_logs(ray_folder: Path, logs: Path) -> None:
    """Copies the logs of each of Ray's sessions in `ray_folder` (its temporary folder) to a folder of the
    session's name in `logs`, of each file at most the end, and removes those of the oldest runs. What cannot
    be copied is left out: it is better to lose logs than to keep an installation from its end or its
    start."""
    for session in sorted(ray_folder.glob("session_*")):
        if session.is_symlink():
            continue
        for source in _files(session / "logs"):
            target = logs / session.name / source.relative_to(session / "logs")
            with suppress(OSError):
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy_end(source, target, MAX_LOG_BYTES)
    with suppress(OSError):
        # Their names begin with the time of their start.
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
