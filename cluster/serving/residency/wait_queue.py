"""A bounded queue of tasks that wait until something becomes possible."""

import asyncio
from collections import deque
from collections.abc import Callable

from cluster.contracts.errors import Overloaded, Unavailable


class BoundedWaitQueue:
    """Lets at most `max_waiting` tasks wait, each for at most `wait_seconds` (None: without limit). Used from
    one event loop."""

    def __init__(self, *, max_waiting: int, wait_seconds: float | None) -> None:
        self._max_waiting = max_waiting
        self._wait_seconds = wait_seconds
        self._waiting: deque[asyncio.Event] = deque()
        """One event for each waiting task, longest waiting first. It is set when the task should check
        again."""

    async def wait_until(self, is_possible: Callable[[bool], bool]) -> None:
        """Returns as soon as `is_possible(is_first)` is true, without letting another task run in between.
        `is_first` is whether no other task has waited longer. Raises what `is_possible` raises, Overloaded if
        the queue is full, and Unavailable after `wait_seconds`."""
        if is_possible(not self._waiting):
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("Too many requests are waiting for other models to finish; try again.")
        turn = asyncio.Event()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                while not is_possible(self._waiting[0] is turn):
                    turn.clear()
                    await turn.wait()
        except TimeoutError as error:
            raise Unavailable(
                f"Other models were in use for {self._wait_seconds:g} s and left no room in memory for this "
                "one; try again later.",
                retry_after_seconds=self._wait_seconds or 1.0,
            ) from error
        finally:
            self._waiting.remove(turn)
            # Another task may now be the first in the queue.
            self.wake()

    def wake(self) -> None:
        """Makes all waiting tasks check again, longest waiting first."""
        for turn in self._waiting:
            turn.set()
