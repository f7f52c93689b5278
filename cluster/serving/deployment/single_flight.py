"""Shares long work among concurrent requests. The work outlasts each of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from cluster.contracts.errors import Unavailable
from cluster.serving.deployment.lease import Abandoned
from cluster.serving.residency.load_timeout import time_limit

T = TypeVar("T")


class SingleFlight:
    """Runs work once for all concurrent callers, and continues when they have left. The result is kept for a
    while for the next caller, so that a retry learns of a failure too, unless the work was abandoned. Used
    from one event loop."""

    def __init__(self, *, kept_seconds: float = 60.0) -> None:
        self._kept_seconds = kept_seconds
        self._tasks: dict[Hashable, tuple[asyncio.Task[Any], float]] = {}
        """Each task, and when it began."""

    async def run(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        *,
        timeout_seconds: float | None,
        why: Callable[[float], Unavailable],
    ) -> T:
        """Returns or raises what `work()` does; `key` identifies the work. After `timeout_seconds` (None:
        never), raises `why(seconds)` with the time since the work began."""
        if key not in self._tasks:
            task = asyncio.create_task(_awaited(work))
            self._tasks[key] = task, time.monotonic()
            task.add_done_callback(lambda _: self._keep(key, task))
        task, began = self._tasks[key]
        async with time_limit(timeout_seconds, lambda _: why(time.monotonic() - began)):
            # `wait` does not cancel the task, for which other callers may be waiting.
            await asyncio.wait([task])
        self._forget(key, task)
        result: T = task.result()
        return result

    def _keep(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        # Retrieved, so that asyncio does not log an error that no caller came back for.
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Abandoned):
            # The next caller wants the work done.
            self._forget(key, task)
        else:
            asyncio.get_running_loop().call_later(self._kept_seconds, self._forget, key, task)

    def _forget(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key, (None, 0.0))[0] is task:
            del self._tasks[key]


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
