"""Opens the store behind a storage URL."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cluster.contracts.errors import InvalidConfiguration
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectStore


def open_store(url: str, *, endpoint_url: str | None = None) -> ObjectStore:
    """Opens `file:///absolute/folder`, `s3://bucket` or `s3://bucket/prefix`. `endpoint_url` is needed for an
    S3 store other than AWS.

    Credentials for S3 come from boto3's usual chain: environment, shared files, instance role. Opening
    contacts nothing. Raises InvalidConfiguration for any other URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # Imported here because boto3 takes half a second, which a folder store does not need.
        from cluster.storage.s3 import S3Store

        return S3Store(parts.netloc, prefix=parts.path.strip("/"), endpoint_url=endpoint_url or None)
    raise InvalidConfiguration(
        f"Storage URL {url!r} is not understood; use file:///absolute/folder or s3://bucket/prefix.",
        param="TUNERY_STORAGE_URL",
    )


def store_from_environment() -> ObjectStore:
    """Opens the store at TUNERY_STORAGE_URL (and TUNERY_STORAGE_ENDPOINT, if set), for processes on the
    cluster, which have no settings object."""
    url = os.environ.get("TUNERY_STORAGE_URL")
    if not url:
        raise InvalidConfiguration(
            "TUNERY_STORAGE_URL is not set; give file:///absolute/folder or s3://bucket/prefix.",
            param="TUNERY_STORAGE_URL",
        )
    return open_store(url, endpoint_url=os.environ.get("TUNERY_STORAGE_ENDPOINT"))
