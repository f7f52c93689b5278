"""Work that outlasts each of its callers is given up when none has asked about it for a while."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from cluster.contracts.errors import Unavailable


class Abandoned(Unavailable):
    """Nobody has asked about the work lately. Asked for again, it starts anew."""


class Lease:
    """Lasts for `seconds` after each renewal. Used from one event loop, apart from `check`."""

    def __init__(self, seconds: float, *, over: str) -> None:
        """`over` is the message of the error when the lease has ended."""
        self._seconds = seconds
        self._over = over
        self._ends_at = time.monotonic() + seconds
        self._waiting: asyncio.Timeout | None = None

    def renew(self) -> None:
        """Someone asks about the work."""
        self._ends_at = time.monotonic() + self._seconds
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def check(self) -> None:
        """Raises Abandoned if the lease has ended. Thread-safe."""
        if time.monotonic() > self._ends_at:
            raise Abandoned(self._over)

    @asynccontextmanager
    async def wait_for(self, place: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Holds `place`. Raises Abandoned, and leaves the queue for the place, if the lease ends before."""
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._ends_at - time.monotonic()) as self._waiting:
                    await held.enter_async_context(place)
            except TimeoutError:
                raise Abandoned(self._over) from None
            finally:
                self._waiting = None
            yield
