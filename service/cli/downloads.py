"""Downloads a folder of files, each of which continues where an earlier download stopped."""

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from service.cli.remote import Api, CommandFailed

_TRIES = 5
"""How often a connection may break in succession without a byte in between."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_Advance = Callable[[int], None]
"""Takes how many bytes have arrived."""


def download_folder(
    api: Api, path: str, files: Sequence[dict[str, Any]], folder: Path, **query: str | None
) -> None:
    """Downloads the files, which have `filename`, `bytes` and `sha256`, from below `path`. A file that is
    already there is not downloaded again. Raises CommandFailed if one arrives with another SHA-256."""
    chosen = {name: value for name, value in query.items() if value is not None}
    ending = f"?{urlencode(chosen)}" if chosen else ""
    for file in files:
        # The server's names become paths on this machine.
        if not _NAME.fullmatch(file["filename"]):
            raise CommandFailed(f"The server names a file {file['filename']!r}, which is not a plain name.")
    folder.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not sys.stderr.isatty()) as shown:
        for file in files:
            task = shown.add_task(file["filename"], total=file["bytes"])

            def advance(count: int, task: Any = task) -> None:
                shown.advance(task, count)

            _download(api, f"{path}/{file['filename']}{ending}", file, folder / file["filename"], advance)


def _download(api: Api, path: str, file: dict[str, Any], target: Path, advance: _Advance) -> None:
    if target.is_file() and target.stat().st_size == file["bytes"] and _sha256(target) == file["sha256"]:
        advance(file["bytes"])
        return
    part = target.with_name(f"{target.name}.part")
    if part.is_file() and part.stat().st_size > file["bytes"]:
        part.unlink()
    advance(part.stat().st_size if part.is_file() else 0)
    broken = 0
    while not part.is_file() or part.stat().st_size < file["bytes"]:
        before = part.stat().st_size if part.is_file() else 0
        try:
            _continue(api, path, file["sha256"], part, advance)
        except httpx2.TransportError as error:
            has_grown = part.is_file() and part.stat().st_size > before
            broken = 0 if has_grown else broken + 1
            if broken == _TRIES:
                raise CommandFailed(
                    f"The download of {target.name} broke off: {error}. Run the command again to resume."
                ) from error
    if _sha256(part) != file["sha256"]:
        part.unlink()
        raise CommandFailed(f"{target.name} arrived with another SHA-256 than the server announced.")
    part.replace(target)


def _continue(api: Api, path: str, sha256: str, part: Path, advance: _Advance) -> None:
    """Appends what is missing. Starts again if the server has other bytes now."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {"accept-encoding": "identity"}
    if start:
        headers |= {"range": f"bytes={start}-", "if-range": f'"{sha256}"'}
    response = api.send(api.request("GET", path, headers=headers))
    try:
        if response.status_code != 206 and start:
            advance(-start)
            start = 0
        with part.open("ab" if start else "wb") as target:
            # Unbuffered: what arrived before a connection broke is kept.
            for chunk in response.iter_raw():
                target.write(chunk)
                advance(len(chunk))
    finally:
        response.close()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
