"""Downloads a folder of files. Each file continues where an earlier download stopped."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from service.cli.failures import CommandFailed, Unavailable, reason_of
from service.cli.progress import bars
from service.cli.remote import Api

_TRIES = 5
"""How often in a row a connection may break without receiving a byte."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_Advance = Callable[[int], None]
"""Called with the number of bytes that have arrived."""


def download_folder(
    api: Api,
    path: str,
    files: Sequence[dict[str, Any]],
    folder: Path,
    *,
    replaces: bool = False,
    **query: str | None,
) -> None:
    """Downloads the files, which have `filename`, `bytes` and `sha256`, from below `path`. An existing file
    is not downloaded again. Raises CommandFailed if a file arrives with another SHA-256. Also raises it,
    before anything is downloaded, if a file of the same name has other content, unless the download
    `replaces` it."""
    chosen = {name: value for name, value in query.items() if value is not None}
    ending = f"?{urlencode(chosen)}" if chosen else ""
    _check_names(files)
    there = {file["filename"] for file in files if _is_there(file, folder / file["filename"])}
    taken = [name for file in files if (name := file["filename"]) not in there and (folder / name).exists()]
    if taken and not replaces:
        raise CommandFailed(
            f"{folder} has {', '.join(taken)} with other content: name another folder, or add --force to "
            "replace it. Nothing was downloaded."
        )
    with _writing_to(folder), bars("bytes") as add:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            name = file["filename"]
            advance = add(name, file["bytes"]).advance
            if name in there:
                advance(file["bytes"])
            else:
                _download(api, f"{path}/{name}{ending}", file, folder / name, advance)


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandFailed(
            f"{folder} cannot be written: {reason_of(error)}. Run the command again to resume."
        ) from error


def _check_names(files: Sequence[dict[str, Any]]) -> None:
    """Checks the names, because the server's file names become paths on this machine."""
    for file in files:
        if not _NAME.fullmatch(file["filename"]):
            raise CommandFailed(f"The server names a file {file['filename']!r}, which is not a plain name.")
        if not _DIGEST.fullmatch(file["sha256"]):
            raise CommandFailed(f"The server gives {file['filename']} the SHA-256 {file['sha256']!r}.")


def _is_there(file: dict[str, Any], target: Path) -> bool:
    return target.is_file() and target.stat().st_size == file["bytes"] and _sha256(target) == file["sha256"]


def _download(api: Api, path: str, file: dict[str, Any], target: Path, advance: _Advance) -> None:
    # A partial file of another model with the same name must not be continued.
    part = target.with_name(f"{target.name}.{file['sha256'][:16]}.part")
    if part.is_file() and part.stat().st_size > file["bytes"]:
        part.unlink()
    advance(part.stat().st_size if part.is_file() else 0)
    broken = 0
    while not part.is_file() or part.stat().st_size < file["bytes"]:
        before, reason = part.stat().st_size if part.is_file() else 0, "the server sends no more bytes"
        try:
            _continue(api, path, file, part, advance)
        except Unavailable as error:
            reason = str(error)
        has_grown = part.is_file() and part.stat().st_size > before
        broken = 0 if has_grown else broken + 1
        if broken == _TRIES:
            raise CommandFailed(
                f"The download of {target.name} broke off: {reason}. Run the command again to resume."
            )
    if _sha256(part) != file["sha256"]:
        part.unlink()
        raise CommandFailed(f"{target.name} arrived with another SHA-256 than the server announced.")
    part.replace(target)


def _continue(api: Api, path: str, file: dict[str, Any], part: Path, advance: _Advance) -> None:
    """Appends the missing bytes. Starts again if the server has other bytes now. Raises CommandFailed if the
    server sends more than it has announced."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {"accept-encoding": "identity"}
    if start:
        headers |= {"range": f"bytes={start}-", "if-range": f'"{file["sha256"]}"'}
    with api.http.open("GET", path, headers=headers) as response:
        if response.status_code != 206 and start:
            advance(-start)
            start = 0
        with part.open("ab" if start else "wb") as target:
            # Unbuffered: what arrived before a connection broke is kept.
            for chunk in response.iter_raw():
                start += len(chunk)
                if start > file["bytes"]:
                    target.truncate(0)
                    raise CommandFailed(f"The server sends more than the {file['bytes']} bytes it announced.")
                target.write(chunk)
                advance(len(chunk))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
