"""S3 servers for tests: each is a process on a free port, with one empty bucket."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import boto3


@dataclass(frozen=True)
class S3Endpoint:
    url: str
    access_key: str
    secret_key: str
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for boto3, and therefore for Tunery's processes."""
        return {
            "TUNERY_STORAGE_ENDPOINT": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def client_of(endpoint: S3Endpoint):
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint.url,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
        region_name="us-east-1",
    )


@contextmanager
def moto_server() -> Iterator[S3Endpoint]:
    """Keeps objects in memory and does not check signatures. Multipart uploads behave as with S3."""
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with _serving(command, r"Running on (http://[\d.:]+)") as url:
        yield _with_bucket(S3Endpoint(url, "tunery-test", "tunery-test-secret", "tunery-test"))


@contextmanager
def rclone_server(folder: Path) -> Iterator[S3Endpoint]:
    """Keeps objects on disk and refuses wrong signatures."""
    folder.mkdir(parents=True, exist_ok=True)
    rclone = Path(sys.executable).with_name("rclone")
    endpoint = S3Endpoint("", "tunery-test", "tunery-test-secret", "tunery-test")
    command = [rclone, "serve", "s3", "--addr", "127.0.0.1:0", "--config", ""]
    command += ["--auth-key", f"{endpoint.access_key},{endpoint.secret_key}", folder]
    with _serving(command, r"Starting s3 server on \[(http://[\d.:]+)/\]") as url:
        yield _with_bucket(S3Endpoint(url, endpoint.access_key, endpoint.secret_key, endpoint.bucket))


def endpoint_from_environment() -> S3Endpoint | None:
    """The store at TEST_S3_ENDPOINT, if that is set. Its bucket, TEST_S3_BUCKET, must exist."""
    url = os.environ.get("TEST_S3_ENDPOINT")
    if not url:
        return None
    return S3Endpoint(
        url,
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        os.environ.get("TEST_S3_BUCKET", "tunery-test"),
    )


def _with_bucket(endpoint: S3Endpoint) -> S3Endpoint:
    client_of(endpoint).create_bucket(Bucket=endpoint.bucket)
    return endpoint


@contextmanager
def _serving(command: list[str | Path], announcement: str) -> Iterator[str]:
    """Runs a server within the context. Yields the text that the group in `announcement` matched in its
    output."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield _announced(process.stdout, announcement)
    finally:
        process.terminate()
        process.wait(10)


def _announced(output: IO[str], announcement: str) -> str:
    seen = []
    for line in output:
        seen.append(line)
        if found := re.search(announcement, line):
            # Keeps reading, because a server blocks when its output pipe is full.
            threading.Thread(target=lambda: [None for _ in output], daemon=True).start()
            return found[1]
    raise RuntimeError("The server ended without announcing itself:\n" + "".join(seen))
