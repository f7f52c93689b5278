"""Transfers files to and from S3 in parallel parts, with boto3's transfer manager.

A single connection carries one window per round trip, which is often less than a tenth of what the network
and the store can do.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3transfer.manager import TransferConfig, TransferManager
from s3transfer.subscribers import BaseSubscriber

from cluster.storage.completion import CompletingClient
from cluster.storage.files import sha256_of
from cluster.storage.parts import part_bytes_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 10
"""Number of parts of one file that are transferred at once."""
_QUEUED_PIECES = 64
"""Number of downloaded pieces, each of 256 KiB, that may wait for the disk."""


def send_file(
    client: "S3Client",
    bucket: str,
    name: str,
    path: Path,
    on_progress: Callable[[], None],
    *,
    smallest: int,
    parameters: Mapping[str, Any],
) -> tuple[int, str]:
    """Uploads a file, as an object with these `parameters`, and returns its size and SHA-256, which is
    computed meanwhile. Memory does not depend on the size of the file or of its parts, which are read piece
    by piece as they are sent. An upload that fails is aborted."""
    size = path.stat().st_size
    with ThreadPoolExecutor(1, thread_name_prefix="sha256") as hashing:
        digest = hashing.submit(sha256_of, path, on_progress)
        completing: Any = CompletingClient(client, size, on_progress)
        with _transfers(completing, part_bytes_of(size, smallest=smallest)) as transfers:
            sent = transfers.upload(
                str(path), bucket, name, extra_args=dict(parameters), subscribers=[_Progress(on_progress)]
            )
            sent.result()
        return size, digest.result()


def fetch_file(
    client: "S3Client", bucket: str, name: str, path: Path, on_progress: Callable[[], None], *, smallest: int
) -> None:
    """Downloads an object by ranges. The file appears at `path` only once it is complete. If the object is
    replaced meanwhile, the download fails."""
    with _transfers(client, smallest) as transfers:
        received = transfers.download(bucket, name, str(path), subscribers=[_Progress(on_progress)])
        received.result()


@contextmanager
def _transfers(client: "S3Client", part_bytes: int) -> Iterator[Any]:
    config = TransferConfig(
        multipart_threshold=part_bytes,
        multipart_chunksize=part_bytes,
        max_request_concurrency=CONNECTIONS,
        max_request_queue_size=4 * CONNECTIONS,
        max_io_queue_size=_QUEUED_PIECES,
    )
    with TransferManager(client, config) as transfers:
        yield transfers


class _Progress(BaseSubscriber):
    def __init__(self, on_progress: Callable[[], None]) -> None:
        self._on_progress = on_progress

    def on_progress(self, future: Any, bytes_transferred: int, **_: Any) -> None:
        self._on_progress()
