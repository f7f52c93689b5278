"""Measure what a large upload costs the API: `python -m tests.benchmarks.uploads`.

Starts the API as a process, with SQLite and a folder for storage. Sends a training file through the openai
SDK, in parts of 64 MiB of which several are under way at once and which arrive in random order, and completes
the upload: the parts are joined, hashed and checked line by line. The file is generated while it is sent.
Meanwhile watches the API's memory, its answers to GET requests, and the space in storage. Prints one line of
JSON on stdout. The exit status is 0 if

- the file is whole, by its SHA-256, and every line was accepted,
- the API's memory grew by less than `--bar-mib`, and
- storage never held more than twice the file.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from openai import OpenAI

from service.db.files.files import Files
from tests.benchmarks.load.api_process import Api, running_api
from tests.benchmarks.load.probes import Observed, observe

_PART_BYTES = 64 * 2**20
_SAMPLE_SECONDS = 0.5
_SPARE_BYTES = 2**30


def main() -> None:
    arguments = _arguments()
    content = Rows(arguments.row_bytes, arguments.mib * 2**20)
    with tempfile.TemporaryDirectory(prefix="bench-uploads-", dir=arguments.folder) as name:
        free = shutil.disk_usage(name).free
        if free < 2 * content.size + _SPARE_BYTES:
            sys.exit(f"{free / 2**30:.1f} GiB are free, too few for twice the file; lower --mib")
        folder = Path(name) / "api"
        with running_api(folder) as api:
            result = _measure(api, folder / "objects", content, arguments)
    print(json.dumps(result))
    sys.exit(not _is_good(result, arguments))


@dataclass(frozen=True)
class Rows:
    """A training file of equal rows, any piece of which is made when it is needed."""

    row_bytes: int
    about: int
    """The size is this, rounded down to whole rows."""

    @property
    def row(self) -> bytes:
        frame = '{"prompt": "%s", "completion": "y"}\n'
        return (frame % ("word " * self.row_bytes)[: self.row_bytes - len(frame) + 2]).encode()

    @property
    def size(self) -> int:
        return self.about // len(self.row) * len(self.row)

    def piece(self, start: int, size: int) -> bytes:
        row, size = self.row, min(size, self.size - start)
        skipped = start % len(row)
        return (row * (size // len(row) + 2))[skipped : skipped + size]

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for start in range(0, self.size, _PART_BYTES):
            digest.update(self.piece(start, _PART_BYTES))
        return digest.hexdigest()


def _measure(api: Api, objects: Path, content: Rows, arguments: argparse.Namespace) -> dict[str, Any]:
    client = OpenAI(base_url=f"http://127.0.0.1:{api.port}/v1", api_key=api.project.key, timeout=3600)
    # What the first upload of a process takes for good is not growth.
    _send(client, Rows(arguments.row_bytes, 2**20), arguments.parallel)
    with observe(api, "/v1/models") as seen, _watched(objects) as space:
        sent = _send(client, content, arguments.parallel)
    with api.database.read() as session:
        file = Files(session, api.project.tenant).get(sent["file_id"])
    return {
        "mib": round(content.size / 2**20),
        "parts": -(-content.size // _PART_BYTES),
        "parallel": arguments.parallel,
        "seconds_parts": sent["seconds_parts"],
        "seconds_complete": sent["seconds_complete"],
        "status": file.status,
        "is_whole": file.sha256 == content.sha256(),
        "api_mib_before": round(seen.mib_before),
        "api_mib_peak": round(seen.mib_peak),
        "api_mib_growth": round(seen.mib_peak - seen.mib_before),
        "storage_peak": round(space[0] / content.size, 2),
        "get_p50_ms": _percentile(seen, 50),
        "get_p99_ms": _percentile(seen, 99),
    }


def _send(client: OpenAI, content: Rows, parallel: int) -> dict[str, Any]:
    began = time.monotonic()
    upload = client.uploads.create(
        bytes=content.size, filename="train.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )
    starts = list(range(0, content.size, _PART_BYTES))
    shuffled = Random(0).sample(starts, len(starts))

    def send(start: int) -> tuple[int, str]:
        part = client.uploads.parts.create(upload.id, data=content.piece(start, _PART_BYTES))
        return start, part.id

    with ThreadPoolExecutor(parallel) as pool:
        ids = dict(pool.map(send, shuffled))
    all_sent = time.monotonic()
    done = client.uploads.complete(upload.id, part_ids=[ids[start] for start in starts])
    assert done.file is not None
    return {
        "file_id": done.file.id,
        "seconds_parts": round(all_sent - began, 1),
        "seconds_complete": round(time.monotonic() - all_sent, 1),
    }


@contextmanager
def _watched(folder: Path) -> Iterator[list[int]]:
    """Yields a list whose only item becomes the largest number of bytes below the folder."""
    largest = [0]
    is_over = threading.Event()

    def sample() -> None:
        while not is_over.wait(_SAMPLE_SECONDS):
            total = 0
            for path in folder.rglob("*"):
                with suppress(FileNotFoundError):
                    total += path.stat().st_size if path.is_file() else 0
            largest[0] = max(largest[0], total)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield largest
    finally:
        is_over.set()
        thread.join()


def _percentile(seen: Observed, percent: float) -> float:
    return round(1000 * float(np.percentile(seen.get_seconds, percent)), 1)


def _is_good(result: dict[str, Any], arguments: argparse.Namespace) -> bool:
    return (
        result["status"] == "processed"
        and result["is_whole"]
        and result["api_mib_growth"] < arguments.bar_mib
        and result["storage_peak"] <= 2.01
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.uploads", description=__doc__)
    parser.add_argument("--mib", type=int, default=8192, help="size of the file")
    parser.add_argument("--row-bytes", type=int, default=4096, help="size of a row")
    parser.add_argument("--parallel", type=int, default=8, help="parts under way at once")
    parser.add_argument("--folder", help="where to work; needs twice the file's size")
    parser.add_argument("--bar-mib", type=float, default=100, help="limit of the API's growth")
    return parser.parse_args()


if __name__ == "__main__":
    main()
