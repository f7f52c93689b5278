"""A bounded line of tasks that wait until something becomes possible."""

import asyncio
from collections import deque
from collections.abc import Callable

from cluster.contracts.errors import Overloaded, Unavailable


class BoundedWaitQueue:
    """At most `max_waiting` wait, each for `wait_seconds` at most (None: for as long as it takes). Used from
    one event loop."""

    def __init__(self, *, max_waiting: int, wait_seconds: float | None) -> None:
        self._max_waiting = max_waiting
        self._wait_seconds = wait_seconds
        self._waiting: deque[asyncio.Event] = deque()
        """One for each who waits, set when it is to look again."""

    async def wait_until(self, is_possible: Callable[[bool], bool]) -> None:
        """Returns as soon as that is true, without another task in between; it is told whether nobody waits
        longer. Raises what it raises, Overloaded if too many wait already, and Unavailable after the longest
        wait."""
        if is_possible(not self._waiting):
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("Too many requests wait for other models to finish; try again.")
        turn = asyncio.Event()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                while not is_possible(self._waiting[0] is turn):
                    turn.clear()
                    await turn.wait()
        except TimeoutError as error:
            raise Unavailable(
                f"Others were in use for {self._wait_seconds:g} s and left no room in memory for this model; "
                "try again later.",
                retry_after_seconds=self._wait_seconds or 1.0,
            ) from error
        finally:
            self._waiting.remove(turn)
            # For one of them, nobody waits longer now.
            self.wake()

    def wake(self) -> None:
        """All look again, who has waited longest first."""
        for turn in self._waiting:
            turn.set()
