"""The URL of a data folder's server, for commands on the same machine: `DIR/server.url`.

The server locks the file while it runs. A file left by a killed server is ignored, so no key is sent to a
program that has taken its port since. Only URLs of this machine are accepted: the folder may belong to
anyone, and its content must not make a key be sent elsewhere."""

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
    """Whether `url` leads to the server whose URL `find_url` has returned. A URL with `localhost` does not
    count, because it is not certain where it leads."""
    try:
        return _place(url) == _place(published)
    except ValueError:
        return False


@contextmanager
def published_url(folder: Path, base_url: str) -> Iterator[None]:
    """The file exists, and is locked, within the context."""
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
    """Whether anything accepts connections there: a starting server does not yet."""
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
    import fcntl  # Windows has none; commands run there, but no server does

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _place(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
