"""Sends a file in parallel parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.models.file_object import FileObject
from tunery_client._generated.models.upload import Upload
from tunery_client.concurrency import each, in_place
from tunery_client.errors import (
    ApiError,
    ConnectionFailed,
    Overloaded,
    ServerError,
    UploadInterrupted,
)
from tunery_client.paths import segment
from tunery_client.retrying import REPEATABLE
from tunery_client.uploading import UploadProgress, md5_of, part_bytes_for

_MIME_TYPE = "application/octet-stream"


def upload_in_parts(
    client: AuthenticatedClient,
    path: Path,
    purpose: str,
    on_progress: Callable[[int, int], object] | None,
    parts_at_once: int,
    resume: UploadProgress | None,
) -> FileObject:
    """Raises UploadInterrupted if the connection or the server fails on the way, and ValueError if `resume`
    is of another file. Whatever else ends it has the progress too."""
    http = client.get_httpx_client()
    total = path.stat().st_size
    if resume is not None and resume.total_bytes != total:
        raise ValueError(f"{path} has {total} bytes now, and {resume.total_bytes} when its upload began.")
    progress = resume
    if progress is None:
        body = {"filename": path.name, "bytes": total, "purpose": purpose, "mime_type": _MIME_TYPE}
        created = Upload.from_dict((http.post("/v1/uploads", json=body)).json())
        progress = UploadProgress(created.id, total, part_bytes_for(total))
    sending = _Sending(http, path, progress, on_progress)
    try:
        each(sending.send, progress.missing, at_once=parts_at_once)
        completion = {"part_ids": progress.ordered_ids, "md5": in_place(md5_of, path)}
        # The server answers a repeated completion with the same file.
        response = http.post(
            f"/v1/uploads/{segment(progress.upload_id)}/complete",
            json=completion,
            extensions={REPEATABLE: True},
        )
    except BaseException as error:
        if _may_go_on(error):
            raise UploadInterrupted(
                f"{path.name}: {progress.sent_bytes} of {total} bytes are uploaded; {error}", progress
            ) from error
        progress.hand_out(error)
        raise
    return FileObject.from_dict(response.json()["file"])


def _may_go_on(error: BaseException) -> bool:
    if isinstance(error, ApiError) and error.status == httpx.codes.REQUEST_TIMEOUT:
        return True  # A part arrived too slowly; with fewer at once, each is faster.
    return isinstance(error, (ConnectionFailed, Overloaded, ServerError))


class _Sending:
    def __init__(
        self,
        http: Any,
        path: Path,
        progress: UploadProgress,
        on_progress: Callable[[int, int], object] | None,
    ) -> None:
        self._http = http
        self._path = path
        self._progress = progress
        self._on_progress = on_progress

    def send(self, index: int) -> None:
        """Sends a part. It may be sent twice: a part that completion does not name is dropped."""
        content = in_place(partial(self._progress.read, self._path), index)
        response = self._http.post(
            f"/v1/uploads/{segment(self._progress.upload_id)}/parts",
            files={"data": (self._path.name, content, _MIME_TYPE)},
            extensions={REPEATABLE: True},
        )
        self._progress.part_ids[index] = response.json()["id"]
        if self._on_progress is not None:
            self._on_progress(self._progress.sent_bytes, self._progress.total_bytes)
