"""Uploads: the requests and the public objects."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.base import Answer, Body
from service.api.schemas.files import FileObject, FilePurpose, UploadPurpose
from service.db.files.uploads import MAX_PARTS


class ExpiresAfter(Body):
    """When a file expires."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]
    """Seconds until the parts and the upload expire, from one hour to 30 days."""


class CreateUploadBody(Body):
    bytes: Annotated[int, Field(ge=0, le=2**53)]
    """Size of the file. The parts must have as many bytes in total."""
    filename: str
    mime_type: Annotated[str, Field(min_length=1, max_length=255)]
    """The MIME type, for compatibility with OpenAI, which requires it. The file's name and purpose decide how
    it is read."""
    purpose: UploadPurpose
    expires_after: ExpiresAfter | None = None
    """Lifetime of the file, from its creation. The upload itself expires at `expires_at`."""


class CompleteUploadBody(Body):
    part_ids: Annotated[list[str], Field(max_length=MAX_PARTS, fail_fast=True)]
    """The file's parts, in order. Parts that are not listed are dropped."""
    md5: Annotated[str, Field(pattern="^[0-9A-Fa-f]{32}$")] | None = None
    """MD5 of the whole file in hexadecimal. A file with a different MD5 is refused."""


class Upload(Answer):
    """A file that is uploaded in parts."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    """When the upload expires unless it is completed."""
    filename: str
    purpose: FilePurpose
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None
    """The file, once the upload is completed, unless it was deleted or has expired since."""


class UploadPart(Answer):
    id: str
    object: Literal["upload.part"] = "upload.part"
    upload_id: str
    created_at: int
