"""Uploads a local file: as a whole if it is small, otherwise in parts. A later run continues the upload as
long as the file's path, size and modification time are the same."""

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from service.cli.failures import CommandFailed, Refused
from service.cli.files.upload_notes import UploadNote
from service.cli.http.retrying import retried
from service.cli.http.together import run_together
from service.cli.progress import bar
from service.cli.remote import Api

WHOLE_BYTES = 64 * 2**20
"""Larger files are sent in parts."""
PART_BYTES = 16 * 2**20
_AT_ONCE = 4
_RETRY_SECONDS = 120.0
_CALL_SECONDS = 3600.0
"""Completing an upload reads the whole file on the server."""
_Advance = Callable[[int], None]


def upload(
    api: Api, path: Path, purpose: str, *, name: str | None = None, part_bytes: int = PART_BYTES
) -> dict[str, Any]:
    """Returns the file object, with the path's name unless another is given. Raises CommandFailed if the API
    refuses the file, or finds errors in it."""
    size, name = path.stat().st_size, name or path.name
    with bar(f"upload {name}", size, "bytes", is_transient=True) as shown:
        if size <= min(WHOLE_BYTES, 4 * part_bytes):
            file = _send_whole(api, path, name, purpose)
            shown.advance(size)
        else:
            file = _send_parts(api, path, name, purpose, size, part_bytes, shown.advance)
    if file["status"] == "error":
        raise CommandFailed(f"{path} cannot be used: {file['status_details']}")
    return file


def _send_whole(api: Api, path: Path, name: str, purpose: str) -> dict[str, Any]:
    with path.open("rb") as content:
        form = {"files": {"file": (name, content)}, "data": {"purpose": purpose}}
        file: dict[str, Any] = api.http.json("POST", "/files", **form, timeout=_CALL_SECONDS)
    return file


def _send_parts(
    api: Api, path: Path, name: str, purpose: str, size: int, part_bytes: int, advance: _Advance
) -> dict[str, Any]:
    note = _note_of(api, path, name, purpose, size, part_bytes)
    upload_id, sent = _resumed(api, note) or _begun(api, note, name, purpose, size)
    offsets = range(0, size, part_bytes)
    for offset in sent:
        advance(min(part_bytes, size - offset))
    parts = _Parts(api, path, name, part_bytes, upload_id, sent, note, advance)
    missing = [partial(parts.send, offset) for offset in offsets if offset not in sent]
    run_together(missing, at_once=_AT_ONCE, stop=parts.stop)
    file = _completed(api, upload_id, [sent[offset] for offset in offsets], _md5(path), note)
    note.forget()
    return file


class _Parts:
    """Sends parts in several threads, and records which have arrived."""

    def __init__(
        self,
        api: Api,
        path: Path,
        name: str,
        part_bytes: int,
        upload_id: str,
        sent: dict[int, str],
        note: UploadNote,
        advance: _Advance,
    ) -> None:
        """Adds to `sent`, which maps offsets to the ids of the parts."""
        self._api = api
        self._path = path
        self._name = name
        self._part_bytes = part_bytes
        self._upload_id = upload_id
        self._sent = sent
        self._note = note
        self._advance = advance
        self._one_at_a_time = threading.Lock()
        self._is_stopped = threading.Event()

    def send(self, offset: int) -> None:
        with self._path.open("rb") as file:
            file.seek(offset)
            content = file.read(self._part_bytes)

        def post() -> Any:
            path, files = f"/uploads/{self._upload_id}/parts", {"data": (self._name, content)}
            return self._api.http.json("POST", path, files=files, timeout=_CALL_SECONDS)

        part_id = retried(post, within_seconds=_RETRY_SECONDS, sleep=self._pause)["id"]
        with self._one_at_a_time:
            self._sent[offset] = part_id
            self._note.write(self._upload_id, self._sent)
            self._advance(len(content))

    def stop(self) -> None:
        """Makes every `send` fail."""
        self._is_stopped.set()
        self._api.http.break_off()

    def _pause(self, seconds: float) -> None:
        if self._is_stopped.wait(seconds):
            raise CommandFailed(f"The upload of {self._path} was stopped.")


def _begun(api: Api, note: UploadNote, name: str, purpose: str, size: int) -> tuple[str, dict[int, str]]:
    kind = "application/octet-stream"
    body = {"filename": name, "purpose": purpose, "bytes": size, "mime_type": kind}
    upload_id = api.post("/uploads", body)["id"]
    note.write(upload_id, {})
    return upload_id, {}


def _completed(api: Api, upload_id: str, part_ids: list[str], md5: str, note: UploadNote) -> dict[str, Any]:
    """Completes the upload. The digest of the whole file is checked because the file may have changed between
    two runs without changing its size and time."""
    path, body = f"/uploads/{upload_id}/complete", {"part_ids": part_ids, "md5": md5}
    try:
        completed = retried(
            lambda: api.http.json("POST", path, json=body, timeout=_CALL_SECONDS),
            within_seconds=_RETRY_SECONDS,
        )
    except Refused as error:
        if error.code == "md5_mismatch":
            # A later run must not continue with the same parts.
            note.forget()
        raise
    file: dict[str, Any] = completed["file"]
    return file


def _note_of(api: Api, path: Path, name: str, purpose: str, size: int, part_bytes: int) -> UploadNote:
    changed = path.stat().st_mtime_ns
    return UploadNote([api.base_url, str(path.resolve()), name, purpose, size, changed, part_bytes])


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _resumed(api: Api, note: UploadNote) -> tuple[str, dict[int, str]] | None:
    """Returns the upload that an earlier run began, and the ids of its parts by offset, if it is still
    pending."""
    noted = note.read()
    try:
        is_pending = noted is not None and api.get(f"/uploads/{noted[0]}")["status"] == "pending"
    except (CommandFailed, KeyError, TypeError):
        return None
    return noted if is_pending else None
