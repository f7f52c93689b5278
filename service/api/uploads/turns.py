"""Bounds how many expensive requests, or how many of their bytes, one process works on at once, in total and
per project."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from anyio import CapacityLimiter

from cluster.contracts.errors import Unavailable


class Turns:
    """At most `at_once` requests have their turn, and at most half of them belong to one project. If requests
    have sizes, the sum of their sizes is limited in the same way.

    A request first waits among the requests of its own project, so that a project never has more than its
    half in the common queue, however many requests it sends. Nothing of a waiting request's body is read."""

    def __init__(self, at_once: int, *, wait_seconds: float) -> None:
        self._at_once = at_once
        self._wait_seconds = wait_seconds
        self._all = _Room(at_once)
        self._projects: WeakValueDictionary[str, _Room] = WeakValueDictionary()
        self.threads = CapacityLimiter(at_once)
        """Threads for the work of turns, which would otherwise occupy the common threads for too long."""

    @asynccontextmanager
    async def turn(self, project_id: str, takes: int = 1) -> AsyncIterator[None]:
        """Waits until it is this request's turn, which ends with the block. `takes` is capped at what one
        project may have. Raises Unavailable (`queue_timeout`) after the longest wait."""
        most = max(1, self._at_once // 2)
        takes = min(takes, most)
        own = self._projects.setdefault(project_id, _Room(most))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await own.acquire(takes)
                try:
                    await self._all.acquire(takes)
                except BaseException:
                    own.release(takes)
                    raise
        except TimeoutError as error:
            raise Unavailable(
                f"The request has waited for its turn for {self._wait_seconds:g} s, the longest wait "
                "allowed: other uploads are in progress. Send fewer requests at once.",
                retry_after_seconds=10.0,
                code="queue_timeout",
            ) from error
        try:
            yield
        finally:
            self._all.release(takes)
            own.release(takes)


class _Room:
    """A semaphore of which each holder takes a certain amount. First come, first served: requests that take
    little cannot overtake one that takes much forever."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, takes: int) -> None:
        entry = (takes, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._serve()
        try:
            await entry[1]
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._serve()
            elif not entry[1].cancelled():
                self.release(takes)
            raise

    def release(self, takes: int) -> None:
        self._free += takes
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            takes, turn = self._waiting.popleft()
            # The task of a cancelled request has not yet run since its cancellation.
            if not turn.cancelled():
                self._free -= takes
                turn.set_result(None)


@dataclass(frozen=True)
class UploadTurns:
    parts: Turns
    """Turns for parts. Each request keeps a part in the folder for temporary files."""
    completions: Turns
    """Turns for completions. Each reads and writes a whole file."""
    bodies: Turns
    """Turns counted in bytes. A request receives a whole file into the folder for temporary files, and keeps
    it there until it is stored and checked."""
    files: Turns
    """Turns for storing and checking a whole file that has arrived."""


COMPLETIONS_AT_ONCE = 4
FILES_AT_ONCE = 8
