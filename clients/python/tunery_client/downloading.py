"""A file that is downloaded, and continued where an earlier download stopped. Pure but for its file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import httpx

from tunery_client.errors import CorruptDownload, TargetExists

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGITS_IN_NAME = 16


class PartialFile:
    """`target`, which is `<target>.<the SHA-256's beginning>.part` until all its bytes have arrived: only the
    same content continues it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        size: int,
        sha256: str,
        advance: Callable[[int], object],
        *,
        overwrite: bool = False,
    ) -> None:
        """`advance` takes how many bytes have arrived, or gone. Raises CorruptDownload if `name`, which the
        server chose, is not a plain name, or `sha256` no digest, and TargetExists if the target has other
        content and `overwrite` is not set."""
        if not _PLAIN_NAME.fullmatch(name):
            raise CorruptDownload(f"The server names a file {name!r}, which is not a plain name.")
        if not _SHA256.fullmatch(sha256):
            raise CorruptDownload(f"The server gives {name} the SHA-256 {sha256!r}, which is not one.")
        self.target = folder / name
        self._part = folder / f"{name}.{sha256[:_DIGITS_IN_NAME]}.part"
        self._size = size
        self._sha256 = sha256
        self._advance = advance
        if self.target.is_file() and self.target.stat().st_size == size and _digest(self.target) == sha256:
            self._is_complete = True
            advance(size)
            return
        if self.target.exists() and not overwrite:
            raise TargetExists(
                f"{self.target} has other content than the model's file. Choose another folder, or set "
                "overwrite=True to replace it."
            )
        self._is_complete = False
        if self.arrived() > size:
            self._part.unlink()
        advance(self.arrived())

    @property
    def headers(self) -> dict[str, str]:
        """Asks for what is missing, if the server still has the same bytes."""
        start = self.arrived()
        resuming = {"Range": f"bytes={start}-", "If-Range": f'"{self._sha256}"'} if start else {}
        return {"Accept-Encoding": "identity", **resuming}

    def begin(self, response: httpx.Response) -> None:
        """Starts again if the server sends all bytes."""
        if response.status_code != httpx.codes.PARTIAL_CONTENT and (start := self.arrived()):
            self._part.unlink()
            self._advance(-start)

    def take(self, chunk: bytes) -> None:
        """Raises CorruptDownload if more arrives than was announced."""
        if self.arrived() + len(chunk) > self._size:
            self._part.unlink(missing_ok=True)
            raise CorruptDownload(f"{self.target.name} has more than the {self._size} bytes announced.")
        with self._part.open("ab") as file:
            file.write(chunk)
        self._advance(len(chunk))

    def finish(self) -> bool:
        """Whether everything has arrived. Raises CorruptDownload if it is not what was announced."""
        if self._is_complete:
            return True
        if self.arrived() < self._size:
            return False
        self._part.touch()
        if _digest(self._part) != self._sha256:
            self._part.unlink()
            raise CorruptDownload(f"{self.target.name} arrived with another SHA-256 than announced.")
        self._part.replace(self.target)
        self._is_complete = True
        return True

    def arrived(self) -> int:
        """How many bytes are here."""
        return self._part.stat().st_size if self._part.is_file() else 0


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
