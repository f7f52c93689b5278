"""Requests that run at the same time, none of which outlives Ctrl-C or the first failure."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

_PAUSE_SECONDS = 0.1


def run_together(calls: Iterable[Callable[[], object]], *, at_once: int, stop: Callable[[], object]) -> None:
    """Runs the calls in threads, and raises the error of the first one that fails.

    After that, or after Ctrl-C, no other call begins, and `stop` is called until those that have begun are
    over: it lets what they wait for fail, such as `HttpClient.break_off`."""
    is_over = threading.Event()

    def run(call: Callable[[], object]) -> None:
        if is_over.is_set():
            return
        try:
            call()
        except BaseException:
            is_over.set()
            raise

    running: list[Future[None]] = []
    with ThreadPoolExecutor(at_once) as pool:
        try:
            running += (pool.submit(run, call) for call in calls)
            for one in as_completed(running):
                one.result()
        except BaseException:
            is_over.set()
            while not all(one.done() for one in running):
                # Repeatedly: a call may be just about to send its request.
                stop()
                time.sleep(_PAUSE_SECONDS)
            raise
