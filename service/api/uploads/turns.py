"""Bounds how many requests of a heavy kind one process works on at once, in all and per project."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from anyio import CapacityLimiter

from cluster.contracts.errors import Unavailable


class Turns:
    """At most `at_once` requests have their turn, and at most half of them are one project's.

    A request first waits among those of its own project, so that a project never has more than its half in
    the common queue, however many requests it sends. Nothing of a waiting request's body is read."""

    def __init__(self, at_once: int, *, wait_seconds: float) -> None:
        self._at_once = at_once
        self._wait_seconds = wait_seconds
        self._all = asyncio.Semaphore(at_once)
        self._projects: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self.threads = CapacityLimiter(at_once)
        """Threads for work of the turns that would keep other requests from the common threads for too
        long."""

    @asynccontextmanager
    async def turn(self, project_id: str) -> AsyncIterator[None]:
        """Waits until it is this request's turn, which ends with the block. Raises Unavailable
        (`queue_timeout`) after the longest wait."""
        own = self._projects.setdefault(project_id, asyncio.Semaphore(max(1, self._at_once // 2)))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await own.acquire()
                try:
                    await self._all.acquire()
                except BaseException:
                    own.release()
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
            self._all.release()
            own.release()


@dataclass(frozen=True)
class UploadTurns:
    parts: Turns
    """Each has a part in the folder for temporary files."""
    completions: Turns
    """Each reads and writes a whole file."""
    files: Turns
    """Each stores and checks a whole file, which has arrived."""


COMPLETIONS_AT_ONCE = 4
FILES_AT_ONCE = 8
