"""A file to an object store that takes 20 ms for each part: over one connection, and in parallel parts.

Prints a JSON line. The server is a process of its own, so that it shares no interpreter with the client.
Parts have 1 MiB, less than S3 allows, so that a small machine's cores, which sign and move the bytes, are not
what is measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from cluster.storage.s3 import S3Store

MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--part-mib", type=int, default=1)
    parser.add_argument("--milliseconds", type=float, default=20.0)
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, "-c", _SERVER, str(options.milliseconds / 1000)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(_measure(url, Path(folder), options)), flush=True)
    finally:
        server.communicate("")


def _measure(url: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    store = S3Store("bench", endpoint_url=url, part_bytes=options.part_mib * MIB)
    source = folder / "source"
    with source.open("wb") as file:
        for _ in range(options.mib):
            file.write(os.urandom(MIB))
    store.put("warm-up", b"1")

    def over_one_connection() -> None:
        with source.open("rb") as reader:
            store.put("one", reader)

    one = _seconds(over_one_connection)
    tracemalloc.start()
    many = _seconds(lambda: store.upload("many", source))
    peak = tracemalloc.get_traced_memory()[1]
    return {
        "mib": options.mib,
        "milliseconds_per_part": options.milliseconds,
        "one_connection_mib_per_second": round(options.mib / one, 1),
        "parallel_mib_per_second": round(options.mib / many, 1),
        "ratio": round(one / many, 2),
        "peak_python_mib": round(peak / MIB, 1),
    }


def _seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


_SERVER = """
import sys
from tests.benchmarks.storage.slow_s3 import slow_s3
with slow_s3(seconds_per_part=float(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""

if __name__ == "__main__":
    main()
