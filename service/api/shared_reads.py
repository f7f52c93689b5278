"""Reads of the database that many requests make at once, each of them made once for all."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

T = TypeVar("T")

_THREADS = 4
"""They share one interpreter: more of them only get in the event loop's way."""


class SharedReads(Generic[T]):
    """Runs reads in threads, at most two at a time per key. Calls that arrive while a read of their key is
    running share the next one, so no caller gets a result that was read before it called.

    Belongs to one event loop."""

    def __init__(self, *, threads: int = _THREADS) -> None:
        self._limiter = CapacityLimiter(threads)
        self._running: dict[Hashable, asyncio.Task[T]] = {}
        self._next: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, key: Hashable, look: Callable[[], T]) -> T:
        """What `look` returns or raises; keys that are equal have looks that are the same."""
        if (task := self._next.get(key)) is None:
            task = asyncio.create_task(self._look(key, look, after=self._running.get(key)))
            # If all who ask go away, nobody is left to hear of an error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            places = self._next if key in self._running else self._running
            places[key] = task
        # Shielded: one who goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def _look(self, key: Hashable, look: Callable[[], T], *, after: asyncio.Task[T] | None) -> T:
        if after is not None:
            await asyncio.wait([after])
            self._running[key] = self._next.pop(key)
        try:
            return await anyio.to_thread.run_sync(look, limiter=self._limiter)
        finally:
            if key not in self._next:
                del self._running[key]
