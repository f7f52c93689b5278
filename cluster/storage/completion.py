"""Completes multipart uploads to S3-compatible stores.

Some stores copy all parts when an upload is completed, which takes longer than the client waits for an
answer. botocore then sends the request again, and the store may answer that the upload no longer exists.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from cluster.storage.files import unobserved

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

UNDECIDED_SECONDS = 900.0
"""How long to look for the object of an upload whose completion was not answered."""
_POLL_SECONDS = 2.0
_CHECKSUMS = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256")


def complete(
    client: "S3Client",
    target: dict[str, Any],
    parts: "Sequence[CompletedPartTypeDef]",
    size: int,
    on_wait: Callable[[], None] = unobserved,
) -> None:
    """Completes the multipart upload `target` (Bucket, Key, UploadId) of `size` bytes. Without an answer,
    looks whether the object appears, and calls `on_wait` meanwhile. Raises ClientError and BotoCoreError if
    there is no new object, as far as can be known."""
    before = _head(client, target)
    try:
        client.complete_multipart_upload(**target, MultipartUpload={"Parts": list(parts)})
    except (ClientError, BotoCoreError) as error:
        if not _is_undecided(error) or not _appears(client, target, size, before, on_wait):
            raise


def part_of(number: int, answer: Mapping[str, Any]) -> "CompletedPartTypeDef":
    """Returns the entry for a part in the request that completes an upload, with the part's checksum if the
    store answered with one."""
    checksums = {name: answer[name] for name in _CHECKSUMS if answer.get(name)}
    return cast("CompletedPartTypeDef", {"PartNumber": number, "ETag": answer["ETag"], **checksums})


class CompletingClient:
    """Wraps `client` for an upload of `size` bytes by boto3's transfer manager, which itself calls for
    completion."""

    def __init__(self, client: "S3Client", size: int, on_wait: Callable[[], None]) -> None:
        self._client, self._size, self._on_wait = client, size, on_wait

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def complete_multipart_upload(self, *, MultipartUpload: Any, **target: Any) -> None:  # noqa: N803
        complete(self._client, target, MultipartUpload["Parts"], self._size, self._on_wait)


def _is_undecided(error: ClientError | BotoCoreError) -> bool:
    """Whether the upload may be complete, or about to be."""
    if not isinstance(error, ClientError):
        return isinstance(error, ReadTimeoutError)
    answer = error.response["ResponseMetadata"]
    status = answer.get("HTTPStatusCode")
    # An upload that is unknown at the first request was aborted.
    return status == 504 or (status == 404 and answer.get("RetryAttempts", 0) > 0)


def _appears(
    client: "S3Client",
    target: dict[str, Any],
    size: int,
    before: "HeadObjectOutputTypeDef | None",
    on_wait: Callable[[], None],
) -> bool:
    """Waits for an object of this size that is not the one of `before`, which may have the same size."""
    end = time.monotonic() + UNDECIDED_SECONDS
    while time.monotonic() < end:
        found = _head(client, target)
        if found and found["ContentLength"] == size and _version(found) != _version(before):
            return True
        on_wait()
        time.sleep(_POLL_SECONDS)
    return False


def _version(head: "HeadObjectOutputTypeDef | None") -> tuple[Any, ...] | None:
    return head and (head.get("ETag"), head.get("LastModified"))


def _head(client: "S3Client", target: dict[str, Any]) -> "HeadObjectOutputTypeDef | None":
    """Returns None if there is no object, or if the store does not say."""
    try:
        return client.head_object(Bucket=target["Bucket"], Key=target["Key"])
    except (ClientError, BotoCoreError):
        return None
