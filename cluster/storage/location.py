"""From a storage URL to the store behind it."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cluster.contracts.errors import InvalidConfiguration
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectStore


def open_store(url: str, *, endpoint_url: str | None = None) -> ObjectStore:
    """`file:///absolute/folder`, or `s3://bucket` and `s3://bucket/prefix`, at `endpoint_url` if it is not
    AWS.

    Credentials for S3 come by boto3's usual chain: environment, shared files, instance role. Nothing is
    contacted yet. Raises InvalidConfiguration for any other URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # Here, so that a folder store needs no half a second for boto3.
        from cluster.storage.s3 import S3Store

        return S3Store(parts.netloc, prefix=parts.path.strip("/"), endpoint_url=endpoint_url or None)
    raise InvalidConfiguration(
        f"Storage URL {url!r} is not understood; use file:///absolute/folder or s3://bucket/prefix.",
        param="TUNERY_STORAGE_URL",
    )


def store_from_environment() -> ObjectStore:
    """The store of TUNERY_STORAGE_URL, at TUNERY_STORAGE_ENDPOINT if that is set: how a process on the
    cluster, which has no settings object, finds it."""
    url = os.environ.get("TUNERY_STORAGE_URL")
    if not url:
        raise InvalidConfiguration(
            "TUNERY_STORAGE_URL is not set; give file:///absolute/folder or s3://bucket/prefix.",
            param="TUNERY_STORAGE_URL",
        )
    return open_store(url, endpoint_url=os.environ.get("TUNERY_STORAGE_ENDPOINT"))
