"""Writes a new file, which appears only once it is complete."""

import os
from collections.abc import Iterable
from pathlib import Path

from service.cli.failures import CommandFailed


def write_new(target: Path, lines: Iterable[bytes], *, source: Path) -> int:
    """Returns the number of lines that were written. Raises CommandFailed if the file exists already or
    cannot be written."""
    if target.exists():
        raise CommandFailed(
            f"{target} is already there: name another file with --output. {source} is unchanged."
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    count = 0
    try:
        with part.open("wb") as file:
            for line in lines:
                file.write(line)
                count += 1
        if count:
            part.replace(target)
    except OSError as error:
        raise CommandFailed(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
    return count
