"""Records which parts of a file have been sent, in the user's cache folder, so that a later run can continue.
If nothing can be recorded, a later run starts again."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class UploadNote:
    """The record of one upload, valid as long as everything in `about` stays the same. A killed run leaves
    nothing to clean up: each write replaces the whole record."""

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
    """None for a user without a home folder."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return None
