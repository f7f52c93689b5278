"""Files on this machine that appear whole or not at all."""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cluster.contracts.errors import InsufficientStorage, TuneryError, Unavailable

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
    error sees the old file or the new one. Raises InsufficientStorage if the disk is full, and Unavailable if
    it fails; errors of `source` pass.
    """
    temporary = path.with_name(f"{path.name}{TEMPORARY_MARK}{secrets.token_hex(8)}")
    with _readable_errors(path):
        target = _opened(temporary)
    try:
        with target:
            size, digest = _copy(source, target, path)
            with _readable_errors(path):
                os.fsync(target.fileno())
                modified_at = os.fstat(target.fileno()).st_mtime
        with _readable_errors(path):
            temporary.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Written(size, digest, modified_at)


def _opened(path: Path) -> FileIO:
    """A new file, with the folders above it. Unbuffered: closing a file writes its buffer once more, and so
    would fail where nobody expects it."""
    for attempt in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb", buffering=0)
        except FileNotFoundError:
            # Whoever deletes the last file of a folder removes the folder too.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _copy(source: BinaryIO, target: FileIO, path: Path) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        with _readable_errors(path):
            _write_all(target, chunk)
        sha256.update(chunk)
        size += len(chunk)
    return size, sha256.hexdigest()


def _write_all(target: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[target.write(rest) :]


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
    """A full or failing disk, in words for anyone. Its note, which logs show, is for the operator."""
    found: TuneryError
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        found = InsufficientStorage()
    else:
        found = Unavailable(f"Cannot access {path.name}: {error.strerror or type(error).__name__}.")
    found.add_note(f"The file is in {path.parent}.")
    return found
