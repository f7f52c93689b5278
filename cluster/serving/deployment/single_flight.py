"""Long work that several requests may ask for, and that outlasts each of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from cluster.contracts.errors import Unavailable
from cluster.serving.residency.load_timeout import time_limit

T = TypeVar("T")


class SingleFlight:
    """Runs work once for all who ask for it at a time, and goes on with it when they have left. What came of
    it is kept for a while for the next one who asks, so that one who comes back learns of a failure too. For
    one event loop."""

    def __init__(self, *, kept_seconds: float = 60.0) -> None:
        self._kept_seconds = kept_seconds
        self._tasks: dict[Hashable, tuple[asyncio.Task[Any], float]] = {}
        """And when each began."""

    async def run(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        *,
        load_timeout_seconds: float | None,
        why: Callable[[float], Unavailable],
    ) -> T:
        """What `work()` returns or raises. `key` names it. Raises `why(seconds)`, with the time for which it
        has been under way, after a wait of `load_timeout_seconds` (None: never)."""
        if key not in self._tasks:
            task = asyncio.create_task(_awaited(work))
            self._tasks[key] = task, time.monotonic()
            task.add_done_callback(lambda _: self._keep(key, task))
        task, began = self._tasks[key]
        async with time_limit(load_timeout_seconds, lambda _: why(time.monotonic() - began)):
            # Who leaves does not take it from those who wait for it too: `wait` cancels nothing.
            await asyncio.wait([task])
        self._forget(key, task)
        result: T = task.result()
        return result

    def _keep(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            # Looked at, or asyncio would complain of an error that nobody came back for.
            task.exception()
        asyncio.get_running_loop().call_later(self._kept_seconds, self._forget, key, task)

    def _forget(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key, (None, 0.0))[0] is task:
            del self._tasks[key]


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
