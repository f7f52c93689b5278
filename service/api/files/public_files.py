"""Files as clients see them."""

from typing import cast

from service.api.schemas.files import FileObject, FilePurpose
from service.db.files.files import File


def public_file(file: File) -> FileObject:
    return FileObject(
        id=file.id,
        bytes=file.bytes,
        created_at=file.created_at,
        expires_at=file.expires_at,
        filename=file.filename,
        purpose=cast(FilePurpose, file.purpose),
        status=file.status,
        status_details=file.status_details,
    )
