"""`tunery.files`."""

from collections.abc import Iterator
from pathlib import Path

from tunery_client._generated.api.files import files_content, files_delete, files_list, files_retrieve
from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.models.file_object import FileObject
from tunery_client._generated.models.file_purpose import FilePurpose
from tunery_client._generated.models.file_upload import FileUpload
from tunery_client._generated.models.upload_purpose import UploadPurpose
from tunery_client._generated.types import UNSET, File
from tunery_client.transport import answer, connection, pages


class Files:
    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    def upload(self, path: str | Path, *, purpose: UploadPurpose = "fine-tune") -> FileObject:
        """Uploads a file as a stream. Check its `status`: if it is `error`, `status_details` lists the
        problems by line."""
        path = Path(path)
        with path.open("rb") as content, connection():
            form = FileUpload(file=File(content, path.name, "application/octet-stream"), purpose=purpose)
            # Not the generated function: it uses a fixed multipart boundary, which the file may contain.
            response = self._client.get_httpx_client().post("/v1/files", files=form.to_multipart())
        return FileObject.from_dict(response.json())

    def list(self, *, purpose: FilePurpose | None = None) -> Iterator[FileObject]:
        """Yields files, newest first."""

        def fetch(after: str | None) -> tuple[list[FileObject], bool]:
            page = answer(
                lambda: files_list.sync(
                    client=self._client, purpose=purpose or UNSET, limit=1000, after=after or UNSET
                )
            )
            return page.data, page.has_more

        return pages(fetch)

    def retrieve(self, file_id: str) -> FileObject:
        return answer(lambda: files_retrieve.sync(file_id, client=self._client))

    def content(self, file_id: str) -> bytes:
        """Returns the whole file, in memory."""
        return answer(lambda: files_content.sync(file_id, client=self._client)).payload.read()

    def delete(self, file_id: str) -> None:
        answer(lambda: files_delete.sync(file_id, client=self._client))
