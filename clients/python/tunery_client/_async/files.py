"""`tunery.files`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tunery_client._async.transport import AsyncResource
from tunery_client._async.uploads import upload_in_parts
from tunery_client._generated.api.files import files_content, files_delete, files_list, files_retrieve
from tunery_client._generated.models.file_object import FileObject
from tunery_client._generated.models.file_purpose import FilePurpose
from tunery_client._generated.models.upload_purpose import UploadPurpose
from tunery_client._generated.types import UNSET
from tunery_client.answers import answer
from tunery_client.uploading import DEFAULT_THRESHOLD_BYTES, UploadProgress

OnProgress = Callable[[int, int], object] | None
"""Takes how many bytes have been sent, and of how many."""


class AsyncFiles(AsyncResource):
    async def upload(
        self,
        path: str | Path,
        *,
        purpose: UploadPurpose = "fine-tune",
        on_progress: OnProgress = None,
        threshold_bytes: int = DEFAULT_THRESHOLD_BYTES,
        parts_at_once: int = 4,
        resume: UploadProgress | None = None,
    ) -> FileObject:
        """Uploads a file as a stream, or in parallel parts if it has more than `threshold_bytes`. Check its
        `status`: if it is `error`, `status_details` lists the problems by line.

        Raises UploadInterrupted if some parts did not arrive; pass its `progress` as `resume` to send only
        those. `UploadProgress.of` finds the progress in whatever else ended the upload: KeyboardInterrupt, or
        a task's CancelledError. After Ctrl-C, a synchronous client waits for the parts that are being sent; a
        second Ctrl-C ends that."""
        path = Path(path)
        total = path.stat().st_size
        if resume is not None or total > threshold_bytes:
            return await upload_in_parts(self._client, path, purpose, on_progress, parts_at_once, resume)
        with path.open("rb") as content:
            files = {"file": (path.name, content, "application/octet-stream")}
            response = await self._http.post("/v1/files", data={"purpose": purpose}, files=files)
        if on_progress is not None:
            on_progress(total, total)
        return FileObject.from_dict(response.json())

    def list(self, *, purpose: FilePurpose | None = None) -> AsyncIterator[FileObject]:
        """Yields files, newest first."""
        return self._pages(files_list.asyncio, purpose=purpose or UNSET)

    async def retrieve(self, file_id: str) -> FileObject:
        return answer(await files_retrieve.asyncio(file_id, client=self._client))

    async def content(self, file_id: str) -> bytes:
        """Returns the whole file, in memory."""
        return answer(await files_content.asyncio(file_id, client=self._client)).payload.read()

    async def delete(self, file_id: str) -> None:
        answer(await files_delete.asyncio(file_id, client=self._client))
