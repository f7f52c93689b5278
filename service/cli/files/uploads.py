"""Uploads a local file: whole if it is small, otherwise in parts, which a later run goes on with as long as
the file keeps its path, its size and the time of its last change."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from service.cli.failures import CommandFailed, Refused
from service.cli.files.upload_notes import UploadNote
from service.cli.http.retrying import retried
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
    upload_id, sent = _resumed(api, note)
    if upload_id is None:
        body = {
            "filename": name,
            "purpose": purpose,
            "bytes": size,
            "mime_type": "application/octet-stream",
        }
        upload_id, sent = api.post("/uploads", body)["id"], {}
        note.write(upload_id, sent)
    offsets, one_at_a_time = range(0, size, part_bytes), threading.Lock()
    for offset in sent:
        advance(min(part_bytes, size - offset))

    def send(offset: int) -> None:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(part_bytes)

        def post() -> Any:
            files = {"data": (name, content)}
            path = f"/uploads/{upload_id}/parts"
            return api.http.json("POST", path, files=files, timeout=_CALL_SECONDS)

        part_id = retried(post, within_seconds=_RETRY_SECONDS)["id"]
        with one_at_a_time:
            sent[offset] = part_id
            note.write(upload_id, sent)
            advance(len(content))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(send, offset) for offset in offsets if offset not in sent]
        try:
            for one in running:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    # A file that was changed between two runs may have its former size and time.
    completion = {"part_ids": [sent[offset] for offset in offsets], "md5": _md5(path)}
    path_of_completion = f"/uploads/{upload_id}/complete"
    try:
        completed = retried(
            lambda: api.http.json("POST", path_of_completion, json=completion, timeout=_CALL_SECONDS),
            within_seconds=_RETRY_SECONDS,
        )
    except Refused as error:
        if error.code == "md5_mismatch":
            # The parts are not this file's: a later run must not go on with them.
            note.forget()
        raise
    note.forget()
    file: dict[str, Any] = completed["file"]
    return file


def _note_of(api: Api, path: Path, name: str, purpose: str, size: int, part_bytes: int) -> UploadNote:
    changed = path.stat().st_mtime_ns
    return UploadNote([api.base_url, str(path.resolve()), name, purpose, size, changed, part_bytes])


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _resumed(api: Api, note: UploadNote) -> tuple[str | None, dict[int, str]]:
    """Returns the upload that an earlier run began, and the ids of its parts by offset, if it still waits."""
    if (noted := note.read()) is None:
        return None, {}
    try:
        is_pending = api.get(f"/uploads/{noted[0]}")["status"] == "pending"
    except (CommandFailed, KeyError, TypeError):
        return None, {}
    return noted if is_pending else (None, {})
