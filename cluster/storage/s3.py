"""Objects in an S3-compatible store, through boto3."""

import copy
import hashlib
import io
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError, S3ValidationError

from cluster.contracts.errors import (
    STORAGE_REFUSED,
    InsufficientStorage,
    InvalidConfiguration,
    NotFound,
    TuneryError,
    Unavailable,
)
from cluster.storage.completion import complete, part_of
from cluster.storage.files import as_domain_error, sha256_of, store_unavailable, unobserved
from cluster.storage.joining import can_be_parts, is_not_offered, join_objects
from cluster.storage.keys import checked_key, checked_prefix
from cluster.storage.parts import PART_BYTES, part_bytes_of, streamed_part_bytes
from cluster.storage.store import Checksums, ObjectInfo, ObjectStore, UnfinishedPut
from cluster.storage.transfers import fetch_file, send_file

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        CreateMultipartUploadOutputTypeDef,
        ObjectIdentifierTypeDef,
        PartTypeDef,
        PutObjectOutputTypeDef,
    )

    Parts = list[CompletedPartTypeDef]

_FULL_CODES = ("XMinioStorageFull", "QuotaExceeded")
"""Error codes of stores that are out of space for a bucket, besides HTTP status 507."""
_REFUSAL_CODES = {
    "403",
    "AccessDenied",
    "AllAccessDisabled",
    "AccountProblem",
    "InvalidAccessKeyId",
    "KMS.DisabledException",
    "KMS.NotFoundException",
    "NoSuchBucket",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
"""Codes for refusals that repeating the same request does not change."""
_TRANSFER_ERRORS = (RetriesExceededError, S3DownloadFailedError, S3ValidationError)
"""What boto3's transfer manager raises for parts that cannot be fetched. The last two mean that the object
was replaced meanwhile, possibly by equal bytes: if the store encrypts them with a key, the ETag differs."""
_COPIED = TransferConfig(multipart_threshold=1 << 30, multipart_chunksize=1 << 28)
"""Settings for copies, because an object beyond 5 GiB cannot be copied in one request."""
_DELETED_AT_ONCE = 1000
"""Maximum number of keys in one delete request, by S3's own limit."""
_DELETE_PAUSES_SECONDS = (0.2, 0.4, 0.8, 1.6)
"""Pauses before objects that were not deleted are tried again. S3 often temporarily refuses some of many
keys."""


class S3Store(ObjectStore):
    """The ObjectStore of `bucket`, under `prefix`.

    `put` holds one part in memory; `upload` and `download` hold none, and move parts in parallel.
    `checksums` is boto3's checksum mode for requests and responses: `when_required` works with every
    S3-compatible store, while `when_supported`, boto3's own default, fails with several. `part_bytes` is the
    size of a part of a small object; S3 requires at least 5 MiB.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint_url: str | None = None,
        checksums: Checksums = "when_required",
        part_bytes: int = PART_BYTES,
        read_timeout_seconds: float = 60.0,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix + "/" if prefix else ""
        self._part_bytes = part_bytes
        self._encryption: dict[str, Any] = {}
        """Parameters of requests that create an object."""
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=5,
            read_timeout=read_timeout_seconds,
            max_pool_connections=32,
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
        )
        # Not boto3's default session: it is shared, and making clients from it is not thread-safe.
        self._client: S3Client = boto3.session.Session().client(
            "s3", endpoint_url=endpoint_url, config=config
        )

    def encrypted_with(self, key: str | None) -> Self:
        bound = copy.copy(self)
        bound.encryption_key = key
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
        bound._encryption = {} if key is None else {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        return bound

    def encryption_key_of(self, key: str) -> str | None:
        with _mapped_errors(key):
            head = self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        return head.get("SSEKMSKeyId")

    def reencrypt(self, key: str) -> None:
        name = self._name(key)
        with _mapped_errors(key):
            # S3 copies an object onto itself only if something about it changes.
            self._client.copy(
                {"Bucket": self._bucket, "Key": name},
                self._bucket,
                name,
                ExtraArgs={"MetadataDirective": "REPLACE", **self._encryption},
                Config=_COPIED,
            )

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        if isinstance(source, bytes):
            return self.put_sized(key, io.BytesIO(source), len(source))
        return self._put(key, source, lambda number: streamed_part_bytes(number, smallest=self._part_bytes))

    def put_sized(self, key: str, source: BinaryIO, size: int) -> ObjectInfo:
        part_bytes = part_bytes_of(size, smallest=self._part_bytes)
        return self._put(key, source, lambda number: part_bytes)

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        name = self._name(key)
        with _mapped_errors(key), _mapped_file_errors(path):
            size, digest = send_file(
                self._client,
                self._bucket,
                name,
                path,
                on_progress,
                smallest=self._part_bytes,
                parameters=self._encryption,
            )
        return self._accepted(key, size, digest)

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        name = self._name(key)
        with _mapped_errors(key), _mapped_file_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch_file(self._client, self._bucket, name, path, on_progress, smallest=self._part_bytes)
            found = path.stat()
            return ObjectInfo(key, found.st_size, sha256_of(path, on_progress), found.st_mtime)

    def get(self, key: str) -> bytes:
        with self.open(key) as reader:
            return reader.read()

    def open(self, key: str, *, start: int = 0) -> BinaryIO:
        name = self._name(key)
        with _mapped_errors(key):
            if start:
                answer = self._client.get_object(Bucket=self._bucket, Key=name, Range=f"bytes={start}-")
            else:
                # An empty object has no byte 0 to request.
                answer = self._client.get_object(Bucket=self._bucket, Key=name)
        return io.BufferedReader(_Body(key, answer["Body"]), buffer_size=1 << 20)

    def stat(self, key: str) -> ObjectInfo:
        with _mapped_errors(key):
            head = self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        return ObjectInfo(key, head["ContentLength"], None, head["LastModified"].timestamp())

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + checked_prefix(prefix)
        )
        with _mapped_errors(prefix):
            for page in pages:
                _present(page, "IsTruncated")
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._prefix)
                    yield ObjectInfo(key, found["Size"], None, found["LastModified"].timestamp())

    def delete(self, key: str) -> None:
        with _mapped_errors(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        names = [self._name(key) for key in keys]
        refused: dict[str, Mapping[str, Any]] = {}
        for first in range(0, len(names), _DELETED_AT_ONCE):
            with _mapped_errors(keys[first]):
                refused |= self._delete_batch(names[first : first + _DELETED_AT_ONCE])
        for name, error in refused.items():
            raise store_unavailable(
                f"Storage refuses to delete {len(refused)} object(s), such as "
                f"{name.removeprefix(self._prefix)!r}: {error.get('Code') or 'no reason given'}."
            )

    def join(self, key: str, sources: Mapping[str, int]) -> bool:
        name, names = self._name(key), [self._name(source) for source in sources]
        if not can_be_parts(list(sources.values())):
            return False
        with _mapped_errors(key):
            if not join_objects(self._client, self._begin(name), names, sum(sources.values())):
                return False
        if self.stat(key).bytes != sum(sources.values()):
            # The store answered as if it had copied the bytes, but it has not.
            self.delete(key)
            return False
        return True

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedPut]:
        with _mapped_errors(prefix):
            for page in self._upload_pages(self._prefix + checked_prefix(prefix)):
                for found in page.get("Uploads", []):
                    key = found["Key"].removeprefix(self._prefix)
                    parts = self._parts(found["Key"], found["UploadId"])
                    size = sum(part["Size"] for part in parts)
                    times = [found["Initiated"], *(part["LastModified"] for part in parts)]
                    yield UnfinishedPut(key, size, max(times).timestamp(), found["UploadId"])

    def abort(self, put: UnfinishedPut) -> None:
        with _mapped_errors(put.key):
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._name(put.key), UploadId=put.id
                )
            except ClientError as error:
                if not _is_no_upload(error):
                    raise

    def _upload_pages(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("list_multipart_uploads")
        try:
            yield from pages.paginate(Bucket=self._bucket, Prefix=prefix)
        except ClientError as error:
            # rclone's server answers this until something has been uploaded in parts.
            if not _is_no_upload(error):
                raise

    def _delete_batch(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Returns, by name, what the store still refuses to delete after a few tries, and why."""
        refused: dict[str, Mapping[str, Any]] = {}
        for pause in (*_DELETE_PAUSES_SECONDS, None):
            refused = self._refused(names)
            names = list(refused)
            if pause is None or all(error.get("Code") == "AccessDenied" for error in refused.values()):
                break
            time.sleep(pause * random.uniform(0.5, 1))
        return refused

    def _refused(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Tries once to delete these objects. Returns those that were refused."""
        objects: list[ObjectIdentifierTypeDef] = [{"Key": name} for name in names]
        try:
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
        except ClientError as error:
            if not is_not_offered(error):
                return dict.fromkeys(names, error.response["Error"])
            for name in names:
                self._client.delete_object(Bucket=self._bucket, Key=name)
            return {}
        return {error["Key"]: error for error in answer.get("Errors", []) if "Key" in error}

    def _parts(self, name: str, upload_id: str) -> "Sequence[PartTypeDef]":
        """Returns the parts of an unfinished upload; empty once it has ended."""
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=name, UploadId=upload_id
        )
        try:
            return [part for page in pages for part in page.get("Parts", [])]
        except ClientError as error:
            if not _is_no_upload(error):
                raise
            return []

    def _name(self, key: str) -> str:
        return self._prefix + checked_key(key)

    def _check_encryption(
        self, name: str, answer: "PutObjectOutputTypeDef | CreateMultipartUploadOutputTypeDef"
    ) -> None:
        """Raises InvalidConfiguration if the answer does not confirm the encryption. Some S3-compatible
        stores ignore the request to encrypt, and even repeat the request's headers when asked about the
        object. Their answer to the request itself does not have these headers."""
        # A store may return the full name of a key that was given by its id.
        if self.encryption_key and not answer.get("SSEKMSKeyId", "").endswith(self.encryption_key):
            raise InvalidConfiguration(
                f"Storage takes {name!r} and does not encrypt it with the key {self.encryption_key}.",
                code="encryption_unsupported",
            )

    def _accepted(self, key: str, size: int, digest: str) -> ObjectInfo:
        try:
            # The size is not compared: by now the object may be another writer's.
            return ObjectInfo(key, size, digest, self.stat(key).modified_at)
        except NotFound as error:
            raise store_unavailable(f"Storage accepted {key!r} and does not have it.") from error

    def _begin(self, name: str) -> dict[str, Any]:
        """Begins a multipart upload. Returns the parameters that identify it in requests."""
        target: dict[str, Any] = {"Bucket": self._bucket, "Key": name}
        created = self._client.create_multipart_upload(**target, **self._encryption)
        target["UploadId"] = _present(created, "UploadId")
        try:
            self._check_encryption(name, created)
        except InvalidConfiguration as error:
            self._abort(target, error)
            raise
        return target

    def _put(self, key: str, reader: BinaryIO, part_bytes: Callable[[int], int]) -> ObjectInfo:
        """Stores what `reader` returns. `part_bytes` returns the size of a part by its number, counted from
        0."""
        name = self._name(key)
        first = _read_part(reader, part_bytes(0))
        with _mapped_errors(key):
            if len(first) < part_bytes(0):
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=name, Body=first, **self._encryption
                )
                self._check_encryption(name, answer)
                size, digest = len(first), hashlib.sha256(first).hexdigest()
            else:
                size, digest = self._put_in_parts(name, first, reader, part_bytes)
        return self._accepted(key, size, digest)

    def _put_in_parts(
        self, name: str, first: bytes, reader: BinaryIO, part_bytes: Callable[[int], int]
    ) -> tuple[int, str]:
        target = self._begin(name)
        size, sha256 = 0, hashlib.sha256()
        parts: Parts = []
        try:
            part = first
            while part:
                number = len(parts) + 1
                answer = self._client.upload_part(**target, PartNumber=number, Body=part)
                parts.append(part_of(number, answer))
                sha256.update(part)
                size += len(part)
                part = _read_part(reader, part_bytes(number))
            complete(self._client, target, parts, size)
        except BaseException as error:
            self._abort(target, error)
            raise
        return size, sha256.hexdigest()

    def _abort(self, target: dict[str, Any], reason: BaseException) -> None:
        """Frees the parts of a failed upload. If this also fails, the store's lifecycle rule must free them.
        The object is not visible either way, and the first error is the one that matters."""
        try:
            self._client.abort_multipart_upload(**target)
        except (ClientError, BotoCoreError) as error:
            reason.add_note(f"The unfinished upload could not be aborted: {error}")


def _read_part(reader: BinaryIO, size: int) -> bytes:
    """Reads exactly one part, or less at the end of `reader`, whose own reads may return smaller pieces."""
    pieces = []
    while size and (piece := reader.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class _Body(io.RawIOBase):
    """An S3 response body as a file that raises this module's errors. A body that ends early raises, because
    botocore checks its length."""

    def __init__(self, key: str, body: Any) -> None:
        self._key, self._body = key, body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _mapped_errors(self._key):
            data: bytes = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()


def _present(answer: Mapping[str, Any], field: str) -> Any:
    """Returns a field that every complete response has. botocore does not compare a response's length with
    the announced one, and reads a response that was cut off before its first byte as empty."""
    if field not in answer:
        raise store_unavailable(f"Storage's answer ended before {field}.")
    return answer[field]


def _is_no_upload(error: ClientError) -> bool:
    """Whether the multipart upload has ended already."""
    return error.response["Error"].get("Code") == "NoSuchUpload"


@contextmanager
def _mapped_errors(key: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, *_TRANSFER_ERRORS) as error:
        raise _as_domain_error(error, key) from error


@contextmanager
def _mapped_file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise as_domain_error(error, path) from error


def _as_domain_error(error: Exception, key: str) -> TuneryError:
    if not isinstance(error, ClientError):
        return store_unavailable(f"Storage does not answer ({type(error).__name__}) for {key!r}.")
    code = error.response["Error"].get("Code", "")
    if code in {"NoSuchKey", "404", "NotFound"}:
        return NotFound(f"No object {key!r} in storage.")
    if error.response["ResponseMetadata"].get("HTTPStatusCode") == 507 or code in _FULL_CODES:
        return InsufficientStorage()
    advice = ""
    if code in {"403", "AccessDenied"} and error.operation_name in {"HeadObject", "GetObject"}:
        advice = (
            " If there is no such object, the storage's policy lacks s3:ListBucket on the bucket, or allows "
            "it on a condition of s3:prefix, which Ceph does not take for met: see deploy/storage."
        )
    problem = f"Storage refuses {error.operation_name} of {key!r}: {code or 'no reason given'}.{advice}"
    return (
        Unavailable(problem, code=STORAGE_REFUSED) if code in _REFUSAL_CODES else store_unavailable(problem)
    )
