"""Writes files on this machine so that they appear whole or not at all."""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cluster.contracts.errors import STORAGE_UNAVAILABLE, InsufficientStorage, TuneryError, Unavailable

CHUNK_BYTES = 1 << 20

TEMPORARY_MARK = "~"
"""Part of the name of every unfinished file. No key contains it."""

_ATTEMPTS = 100


class Written(NamedTuple):
    bytes: int
    sha256: str
    modified_at: float
    """Unix seconds."""


def store_unavailable(problem: str) -> Unavailable:
    """Makes the error of an object store, in contrast to that of a disk of this machine."""
    return Unavailable(problem, code=STORAGE_UNAVAILABLE)


def unobserved() -> None:
    """Progress callback for a copy that nobody watches."""


def sha256_of(path: Path, on_progress: Callable[[], None] = unobserved) -> str:
    """Returns the SHA-256 of a file, in hex. Calls `on_progress` after each chunk."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as source:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            on_progress()
    return digest.hexdigest()


def write_atomically(
    path: Path,
    source: BinaryIO,
    on_progress: Callable[[], None] = unobserved,
    *,
    unavailable: Callable[[str], TuneryError] = Unavailable,
) -> Written:
    """Copies `source` to `path` in chunks, and calls `on_progress` after each.

    The bytes go to a file beside `path`, which is synced to disk and then renamed, so that a reader, a crash
    or an error leaves either the old file or the new one. Raises InsufficientStorage if the disk is full and
    what `unavailable` makes if it fails. Errors of `source` propagate.
    """
    temporary = path.with_name(f"{path.name}{TEMPORARY_MARK}{secrets.token_hex(8)}")
    with _readable_errors(path, unavailable):
        target = _create(temporary)
    try:
        with target:
            size, digest = _copy(source, target, partial(_readable_errors, path, unavailable), on_progress)
            with _readable_errors(path, unavailable):
                os.fsync(target.fileno())
                modified_at = os.fstat(target.fileno()).st_mtime
        with _readable_errors(path, unavailable):
            temporary.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Written(size, digest, modified_at)


def _create(path: Path) -> FileIO:
    """Creates a file and the folders above it. It is unbuffered: closing a buffered file writes the rest of
    the buffer, and would raise an error where none is expected."""
    for attempt in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb", buffering=0)
        except (FileNotFoundError, FileExistsError):
            # Deleting the last file of a folder also removes the folder. `mkdir` finds that a folder exists,
            # checks whether it is one, and raises FileExistsError if it has just gone.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _copy(
    source: BinaryIO,
    target: FileIO,
    readable_errors: Callable[[], AbstractContextManager[None]],
    on_progress: Callable[[], None],
) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        with readable_errors():
            _write_all(target, chunk)
        sha256.update(chunk)
        size += len(chunk)
        on_progress()
    return size, sha256.hexdigest()


def _write_all(target: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[target.write(rest) :]


def _sync_folder(folder: Path) -> None:
    """Makes the rename survive a power failure. The folder is gone if the file was deleted since."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _readable_errors(path: Path, unavailable: Callable[[str], TuneryError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise as_domain_error(error, path, unavailable) from error


def as_domain_error(
    error: OSError, path: Path, unavailable: Callable[[str], TuneryError] = Unavailable
) -> TuneryError:
    """Makes an error whose message is safe to show to users. Its note, which appears only in logs, is for the
    operator. `unavailable` makes the error of a disk that fails."""
    found: TuneryError
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        found = InsufficientStorage()
    else:
        found = unavailable(f"Cannot access {path.name}: {error.strerror or type(error).__name__}.")
    found.add_note(f"The file is in {path.parent}.")
    return found
