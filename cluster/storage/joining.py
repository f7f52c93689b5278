"""Joins objects of an S3-compatible store into one, inside the store.

A separate request, UploadPartCopy, makes an object a part of a new one:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cluster.storage.completion import complete, part_of
from cluster.storage.parts import LARGEST_PART, MOST_PARTS, SMALLEST_PART

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_AT_ONCE = 8
_NOT_OFFERED = {
    "NotImplemented",
    "MethodNotAllowed",
    "XNotImplemented",
    "NotSupported",
    "InvalidRequest",
    "MissingContentMD5",
}
"""Codes of stores that do not support a request, do not support it for these objects, or require an older
checksum with it."""


def can_be_parts(sizes: Sequence[int]) -> bool:
    """Whether S3's limits allow objects of these sizes as the parts of one."""
    return (
        0 < len(sizes) <= MOST_PARTS
        and all(SMALLEST_PART <= size <= LARGEST_PART for size in sizes[:-1])
        and 0 < sizes[-1] <= LARGEST_PART
    )


def is_not_offered(error: ClientError) -> bool:
    """Whether the store does not support the request, so that repeating it is useless."""
    status = error.response["ResponseMetadata"].get("HTTPStatusCode")
    return status in (405, 501) or error.response["Error"].get("Code") in _NOT_OFFERED


def join_objects(client: "S3Client", target: dict[str, Any], sources: Sequence[str], size: int) -> bool:
    """Completes the multipart upload `target` (Bucket, Key, UploadId) with the objects named `sources` as its
    parts, `size` bytes together. Returns False, and aborts the upload, if the store does not support that.
    Raises ClientError and BotoCoreError, and never leaves an unfinished upload behind."""

    def copy(number: int) -> "CompletedPartTypeDef | None":
        answer = client.upload_part_copy(
            **target, PartNumber=number, CopySource={"Bucket": target["Bucket"], "Key": sources[number - 1]}
        )
        # Stores that do not know the request treat it as a part without content.
        copied = answer.get("CopyPartResult", {})
        return part_of(number, copied) if copied.get("ETag") else None

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        found = list(pool.map(copy, range(1, len(sources) + 1)))
        parts = [part for part in found if part is not None]
        if len(parts) == len(sources):
            complete(client, target, parts, size)
            return True
    except BaseException as error:
        pool.shutdown(cancel_futures=True)
        _abort(client, target, error)
        if isinstance(error, ClientError) and (is_not_offered(error) or _are_unequal(error)):
            return False
        raise
    finally:
        pool.shutdown()
    client.abort_multipart_upload(**target)
    return False


def _are_unequal(error: ClientError) -> bool:
    """Whether the store requires parts of equal size, as Cloudflare's R2 does."""
    return error.response["Error"].get("Code") == "InvalidPart"


def _abort(client: "S3Client", target: dict[str, Any], reason: BaseException) -> None:
    try:
        client.abort_multipart_upload(**target)
    except (ClientError, BotoCoreError) as error:
        reason.add_note(f"The unfinished upload could not be aborted: {error}")
