"""Where the server of a data folder listens, for commands on the same machine: `DIR/server.url`.

The server keeps a lock on the file while it runs. A file that a killed server has left does not count, and no
key goes to a program that has taken its port since. Only this machine is believed: the folder may be
anybody's, and what it says must send no key elsewhere."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from service.permissions import write_private_file

_NAME = "server.url"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_MAX_CHARACTERS = 200
_CONNECT_SECONDS = 1.0


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


def is_same_server(url: str, published: str) -> bool:
    """Whether `url` leads to the server whose URL `find_url` has returned. `localhost` does not: where it
    leads is not certain."""
    try:
        return _place(url) == _place(published)
    except ValueError:
        return False


@contextmanager
def published_url(folder: Path, base_url: str) -> Iterator[None]:
    """The file is there, and locked, as long as the context is."""
    path = folder / _NAME
    write_private_file(path, base_url)
    import fcntl

    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_listening(url: str) -> bool:
    """Whether anything accepts connections there: a server that starts does not yet."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def find_url(folder: Path) -> str | None:
    """Returns the base URL of the folder's server; None if none runs, or the file names another machine."""
    try:
        with (folder / _NAME).open(encoding="utf-8") as file:
            url = file.read(_MAX_CHARACTERS).strip()
            is_ours = urlsplit(url).scheme == "http" and is_loopback(url) and _is_locked(file)
        return url if is_ours else None
    except (OSError, ValueError):
        return None


def _is_locked(file: TextIO) -> bool:
    import fcntl  # Windows, where no server runs but commands do, has none

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _place(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
