"""Opens the store behind a storage URL."""

import os
from pathlib import Path
from typing import cast, get_args
from urllib.parse import unquote, urlsplit

from cluster.contracts.errors import InvalidConfiguration
from cluster.storage.local import LocalStore
from cluster.storage.store import Checksums, ObjectStore


def open_store(
    url: str, *, endpoint_url: str | None = None, checksums: Checksums = "when_required"
) -> ObjectStore:
    """Opens `file:///absolute/folder`, `s3://bucket` or `s3://bucket/prefix`. `endpoint_url` is needed for an
    S3 store other than AWS, and `checksums` are those of S3's requests and answers.

    Credentials for S3 come from boto3's usual chain: environment, shared files, instance role. Opening
    contacts nothing. Raises InvalidConfiguration for any other URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # Imported here because boto3 takes half a second, which a folder store does not need.
        from cluster.storage.s3 import S3Store

        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/"),
            endpoint_url=endpoint_url or None,
            checksums=checksums,
        )
    raise InvalidConfiguration(
        f"Storage URL {url!r} is not understood; use file:///absolute/folder or s3://bucket/prefix.",
        param="TUNERY_STORAGE_URL",
    )


def store_from_environment() -> ObjectStore:
    """Opens the store at TUNERY_STORAGE_URL (and TUNERY_STORAGE_ENDPOINT and TUNERY_STORAGE_CHECKSUMS, if
    set), for processes on the cluster, which have no settings object."""
    url = os.environ.get("TUNERY_STORAGE_URL")
    if not url:
        raise InvalidConfiguration(
            "TUNERY_STORAGE_URL is not set; give file:///absolute/folder or s3://bucket/prefix.",
            param="TUNERY_STORAGE_URL",
        )
    endpoint = os.environ.get("TUNERY_STORAGE_ENDPOINT")
    return open_store(url, endpoint_url=endpoint, checksums=checksums_from_environment())


def checksums_from_environment() -> Checksums:
    """TUNERY_STORAGE_CHECKSUMS. Raises InvalidConfiguration."""
    found = os.environ.get("TUNERY_STORAGE_CHECKSUMS") or "when_required"
    if found not in get_args(Checksums):
        raise InvalidConfiguration(
            f"TUNERY_STORAGE_CHECKSUMS is {found!r}; it may be {' or '.join(get_args(Checksums))}.",
            param="TUNERY_STORAGE_CHECKSUMS",
        )
    return cast("Checksums", found)
