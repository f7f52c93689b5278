"""What has been sent of a file, noted in the user's cache folder so that a later run goes on with it. Where
nothing can be noted, a later run begins again."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class UploadNote:
    """Notes on one upload, valid while everything that it is about stays the same. Needs no cleaning up after
    a run that was killed: a whole note replaces the one before."""

    def __init__(self, about: Sequence[object]) -> None:
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        cache = _cache_folder()
        self._path = cache and cache / "tunery" / "uploads" / f"{digest}.json"

    def read(self) -> tuple[str, dict[int, str]] | None:
        """The upload's id, and the ids of its parts by their offsets."""
        try:
            noted = json.loads(self._path.read_text()) if self._path else {}
            return noted["upload_id"], {int(offset): str(part) for offset, part in noted["parts"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, upload_id: str, parts: Mapping[int, str]) -> None:
        if self._path is None:
            return
        new = self._path.with_suffix(f".{os.getpid()}.new")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps({"upload_id": upload_id, "parts": parts}))
            new.replace(self._path)

    def forget(self) -> None:
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def _cache_folder() -> Path | None:
    """None for a user who has no home."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return None
