"""Measures the latency of GET requests and the memory of the API's process while something else loads it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.benchmarks.load.api_process import Api, get

_SAMPLE_SECONDS = 0.02
_PAUSE_SECONDS = 0.01
_SETTLED_SECONDS = 1.0


@dataclass
class Observed:
    mib_before: float = 0.0
    mib_peak: float = 0.0
    mib_after: float = 0.0
    get_seconds: list[float] = field(default_factory=list)
    """Seconds of each GET request, sent one after another. Failed requests are included."""


@contextmanager
def observe(api: Api, path: str) -> Iterator[Observed]:
    """Measures from two threads during the block. The result is complete after it."""
    seen = Observed(mib_before=_mib(api))
    is_over = threading.Event()

    def sample() -> None:
        while not is_over.is_set():
            seen.mib_peak = max(seen.mib_peak, _mib(api))
            time.sleep(_SAMPLE_SECONDS)

    def send() -> None:
        while not is_over.is_set():
            began = time.monotonic()
            with suppress(OSError):
                get(api.port, path, api.headers)
            seen.get_seconds.append(time.monotonic() - began)
            time.sleep(_PAUSE_SECONDS)

    threads = [threading.Thread(target=sample), threading.Thread(target=send)]
    for thread in threads:
        thread.start()
    try:
        yield seen
        time.sleep(_SETTLED_SECONDS)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    seen.mib_after = _mib(api)


def _mib(api: Api) -> float:
    return float(api.process.memory_info().rss / 2**20)
