"""Coalesces database reads that many requests make at the same time."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

T = TypeVar("T")

_THREADS = 4
"""The threads share one interpreter; more of them would only slow down the event loop."""


class SharedReads(Generic[T]):
    """Runs reads in threads, one at a time per key. All calls that arrive while a read of their key is
    running share the next one, so no caller gets a result that is older than its call.

    Belongs to one event loop."""

    def __init__(self, *, threads: int = _THREADS) -> None:
        self._limiter = CapacityLimiter(threads)
        self._running: dict[Hashable, asyncio.Task[T]] = {}
        self._next: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """Returns what `read` returns, or raises what it raises. Calls with equal keys must pass equivalent
        reads."""
        if (task := self._next.get(key)) is None:
            task = asyncio.create_task(self._read(key, read, after=self._running.get(key)))
            # If every waiting caller is cancelled, nobody retrieves the exception.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            places = self._next if key in self._running else self._running
            places[key] = task
        # Shielded: a caller that is cancelled must not cancel the read for the others.
        return await asyncio.shield(task)

    async def _read(self, key: Hashable, read: Callable[[], T], *, after: asyncio.Task[T] | None) -> T:
        if after is not None:
            await asyncio.wait([after])
            self._running[key] = self._next.pop(key)
        try:
            return await anyio.to_thread.run_sync(read, limiter=self._limiter)
        finally:
            if key not in self._next:
                del self._running[key]
