"""Files on this machine that appear whole or not at all."""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cluster.contracts.errors import TuneryError, Unavailable

CHUNK_BYTES = 1 << 20

TEMPORARY_MARK = "~"
"""In the name of every unfinished file and of no key."""

_ATTEMPTS = 100


class Written(NamedTuple):
    bytes: int
    sha256: str
    modified_at: float
    """Unix seconds."""


def write_atomically(path: Path, source: BinaryIO) -> Written:
    """Copies `source` to `path` in chunks.

    The bytes go to a file beside `path`, are synced to disk and renamed, so that a reader, a crash or an
    error sees the old file or the new one. Raises Unavailable if the disk is full or fails; errors of
    `source` pass.
    """
    temporary = path.with_name(f"{path.name}{TEMPORARY_MARK}{secrets.token_hex(8)}")
    with _readable_errors(path):
        target = _opened(temporary)
    try:
        with target:
            size, digest = _copy(source, target, path)
            with _readable_errors(path):
                target.flush()
                os.fsync(target.fileno())
                modified_at = os.fstat(target.fileno()).st_mtime
        with _readable_errors(path):
            temporary.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Written(size, digest, modified_at)


def _opened(path: Path) -> BinaryIO:
    """A new file, with the folders above it."""
    for attempt in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
        except FileNotFoundError:
            # Whoever deletes the last file of a folder removes the folder too.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _copy(source: BinaryIO, target: BinaryIO, path: Path) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        with _readable_errors(path):
            target.write(chunk)
        sha256.update(chunk)
        size += len(chunk)
    return size, sha256.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Without this a power cut may forget the rename."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise as_domain_error(error, path) from error


def as_domain_error(error: OSError, path: Path) -> TuneryError:
    """A failing disk as Unavailable, in words that an operator can act on."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Unavailable(
            f"No space left to write {path.name}: free some on the disk that holds {path.parent}."
        )
    return Unavailable(f"Cannot access {path.name} in {path.parent}: {error.strerror or error}.")
