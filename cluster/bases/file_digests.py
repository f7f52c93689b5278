"""SHA-256 of large files, computed once.

The digests of a folder's files are kept in the folder for as long as the sizes and modification times of the
files stay the same, so that no process reads 140 GB again that another one has already read. A folder that
cannot be written to keeps none. The hub's cache names files by their SHA-256, so these need not be read at
all.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

KEPT = ".tunery-digests.json"
_WORTH_KEEPING_BYTES = 64 * 2**20
"""Smaller files take less time to read than to look up their digests."""
_THREADS = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")

_State = tuple[int, int]
"""Size in bytes and modification time in nanoseconds."""


def file_digests(files: Sequence[Path]) -> list[str]:
    """Returns the SHA-256 of each of these files of one folder. Files are read in parallel."""
    if not files:
        return []
    folder = files[0].parent
    kept = _kept(folder)
    states = [_state(file) for file in files]
    known = [
        _hub_digest(file) or (kept[file.name][1] if kept.get(file.name, (None,))[0] == state else None)
        for file, state in zip(files, states, strict=True)
    ]
    unknown = [file for file, digest in zip(files, known, strict=True) if digest is None]
    read = _read_all(unknown)
    large = {
        file.name: (state, read[file])
        for file, state in zip(files, states, strict=True)
        if file in read and state[0] >= _WORTH_KEEPING_BYTES
    }
    if large:
        _keep(folder, large)
    return [digest or read[file] for file, digest in zip(files, known, strict=True)]


def changed_files(files: Sequence[Path]) -> dict[str, bool | None]:
    """Reads all of these files of one folder. Returns, by name, whether the file differs from the hub's or
    from what was read before, and keeps the recorded digest. For a file that is read for the first time,
    returns None and records its digest."""
    if not files:
        return {}
    kept = _kept(files[0].parent)
    known = {file: _hub_digest(file) or kept.get(file.name, (None, None))[1] for file in files}
    found = _read_all(files)
    if new := {file.name: (_state(file), found[file]) for file in files if known[file] is None}:
        _keep(files[0].parent, new)
    return {file.name: None if (was := known[file]) is None else was != found[file] for file in files}


def _hub_digest(file: Path) -> str | None:
    """Returns the SHA-256 that the hub gave for a file of its cache, which is a folder of links to files that
    are named by their digests. None for other files, and for small files, whose names there are digests of
    another kind."""
    if not file.is_symlink():
        return None
    target = file.resolve()
    return target.name if target.parent.name == "blobs" and _SHA256.fullmatch(target.name) else None


def _read_all(files: Sequence[Path]) -> dict[Path, str]:
    with ThreadPoolExecutor(_THREADS) as threads:
        return dict(zip(files, threads.map(_read, files), strict=True))


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _state(file: Path) -> _State:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _kept(folder: Path) -> dict[str, tuple[_State, str]]:
    """Returns the recorded digests. Anything that cannot be understood counts as not recorded."""
    try:
        entries = json.loads((folder / KEPT).read_bytes())
        return {
            name: ((int(size), int(mtime_ns)), str(digest))
            for name, (size, mtime_ns, digest) in entries.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(folder: Path, found: Mapping[str, tuple[_State, str]]) -> None:
    entries = {name: [*state, digest] for name, (state, digest) in {**_kept(folder), **found}.items()}
    with suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=KEPT)
        try:
            with os.fdopen(handle, "w") as stream:
                # Other users of the folder must also be spared from reading 140 GB again.
                os.fchmod(stream.fileno(), 0o644)
                json.dump(entries, stream, indent=1)
            Path(temporary).replace(folder / KEPT)
        finally:
            Path(temporary).unlink(missing_ok=True)
