"""Requests wait here for their turn at the engine; what decides is `fair_queue`."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cluster.contracts.errors import Overloaded, Unavailable
from service.api.inference.fair_queue import FairQueue, QueueLimits, Turn

_NEWEST_SHARE = 0.1
"""Of the newest duration in the mean: about the last ten count."""
_LONGEST_RETRY_SECONDS = 60


class AdmissionQueue:
    """A process's way to its engines. For one event loop."""

    def __init__(
        self, limits: QueueLimits, *, wait_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`wait_seconds`: the longest that a request waits for its turn."""
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._queue = FairQueue(limits)
        self._calls: dict[Turn, asyncio.Future[None]] = {}
        self._mean_seconds = 0.0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @asynccontextmanager
    async def turn(self, tenant: str, num_choices: int) -> AsyncIterator[Turn]:
        """Entered once it is this request's turn, which ends with the block.

        Raises Overloaded if too many wait already, Unavailable (`queue_timeout`) after the longest wait. One
        that is cancelled leaves the queue at once."""
        turn = Turn(tenant, num_choices)
        self._check_room(turn)
        self._queue.join(turn)
        self._is_empty.clear()
        try:
            await self._called(turn)
            begun = self._clock()
            yield turn
            self._measure(self._clock() - begun)
        finally:
            self._queue.leave(turn)
            self._call_next()
            if self._queue.is_empty:
                self._is_empty.set()

    def check_room(self, tenant: str) -> None:
        """Raises Overloaded if `turn` would, whatever else the tenant's next request says: for who would
        rather know before it is read."""
        self._check_room(Turn(tenant, 1))

    def charge(self, turn: Turn, cost: float) -> None:
        """What the turn has cost since the last charge."""
        self._queue.charge(turn, cost)

    async def wait_until_empty(self) -> None:
        """Nobody waits and nobody runs."""
        await self._is_empty.wait()

    async def _called(self, turn: Turn) -> None:
        call = self._calls[turn] = asyncio.get_running_loop().create_future()
        try:
            self._call_next()
            async with asyncio.timeout(self._wait_seconds):
                await call
        except TimeoutError as error:
            raise Unavailable(
                f"The request has waited {self._wait_seconds:g} s for its turn, the longest that one may "
                "wait: the model server has too much to do. Try again later.",
                retry_after_seconds=self._retry_after_seconds(self._queue.num_waiting()),
                code="queue_timeout",
            ) from error
        finally:
            del self._calls[turn]

    def _call_next(self) -> None:
        for turn in self._queue.admit():
            # One that was cancelled in this very moment is on its way out, and then calls the next.
            if not self._calls[turn].done():
                self._calls[turn].set_result(None)

    def _check_room(self, turn: Turn) -> None:
        exceeded = self._queue.exceeded(turn)
        if exceeded is None:
            return
        if exceeded == "tenant":
            own = self._queue.num_waiting(turn.tenant)
            waiting = own * self._queue.num_waiting_tenants
            what = f"{own} of your project's choices wait, which leaves no place for {turn.num_choices} more"
            limit = f"at most {self._limits.max_waiting_per_tenant} of a project may wait"
        else:
            waiting = self._queue.num_waiting()
            what = f"The queue has no place for {turn.num_choices} more choices"
            limit = f"at most {self._limits.max_waiting} of all projects may wait"
        seconds = self._retry_after_seconds(waiting)
        raise Overloaded(
            f"{what}; {limit} for the model server. Try again in {seconds} s.",
            retry_after_seconds=seconds,
        )

    def _measure(self, seconds: float) -> None:
        share = _NEWEST_SHARE if self._mean_seconds else 1.0
        self._mean_seconds += share * (seconds - self._mean_seconds)

    def _retry_after_seconds(self, num_waiting: int) -> int:
        """In which so many choices had their turn, at the measured pace: each place serves one after another
        (Little's law)."""
        seconds = num_waiting * self._mean_seconds / self._limits.max_running
        return min(max(1, math.ceil(seconds)), _LONGEST_RETRY_SECONDS)
