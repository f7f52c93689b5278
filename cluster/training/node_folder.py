"""Folders that the workers of one machine share, so that each file is downloaded once for all of them."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

_PREFIX = "tunery-shared-"
_POLL_SECONDS = 0.2


@contextlib.contextmanager
def node_folder(name: str) -> Iterator[Path]:
    """Yields a folder that is shared by all processes of this user and machine that ask for this name at the
    same time. The last one to leave removes it. If all of its processes were killed, a later call removes
    it."""
    root = Path(tempfile.gettempdir())
    for stale in root.glob(f"{_PREFIX}{os.getuid()}-*.users"):
        with contextlib.suppress(OSError), stale.open("a") as users:
            _remove_if_unused(users, stale)
    path = root / f"{_PREFIX}{os.getuid()}-{name}.users"
    with _joined(path) as users:
        folder = path.with_suffix("")
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            yield folder
        finally:
            _remove_if_unused(users, path)


@contextlib.contextmanager
def made_once(path: Path, heartbeat: Callable[[], None]) -> Iterator[bool]:
    """Yields whether the caller has to make `path`, which must then appear atomically. One of several
    processes makes it, and the others wait until it exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("a") as lock:
        while not path.exists() and not _try_lock(lock, fcntl.LOCK_EX):
            # The process that makes it is watched by itself.
            heartbeat()
            time.sleep(_POLL_SECONDS)
        yield not path.exists()


@contextlib.contextmanager
def _joined(path: Path) -> Iterator[IO[str]]:
    while True:
        with path.open("a") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            # The last user may have removed the file before the lock was ours.
            if path.exists() and path.stat().st_ino == os.fstat(users.fileno()).st_ino:
                yield users
                return


def _remove_if_unused(users: IO[str], path: Path) -> None:
    if _try_lock(users, fcntl.LOCK_EX):
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        path.unlink(missing_ok=True)


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
