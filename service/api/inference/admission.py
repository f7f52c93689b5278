"""Makes requests wait for their turn at the engine. `fair_queue` decides whose turn it is."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cluster.contracts.errors import Overloaded, Unavailable
from service.api.inference.fair_queue import FairQueue, QueueLimits, Turn

_NEWEST_SHARE = 0.1
"""Weight of the newest duration in the moving average: about the last ten count."""
_LONGEST_RETRY_SECONDS = 60


class AdmissionQueue:
    """Admits requests to the engines, for one process and one event loop."""

    def __init__(
        self, limits: QueueLimits, *, wait_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`wait_seconds` is the longest time that a request may wait for its turn."""
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._queue = FairQueue(limits)
        self._calls: dict[Turn, asyncio.Future[None]] = {}
        self._mean_seconds = 0.0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @asynccontextmanager
    async def turn(self, tenant: str, num_choices: int, *, has_place: bool = False) -> AsyncIterator[Turn]:
        """Waits until it is this request's turn. The turn ends with the block. `has_place`: the request
        follows an ended one of the same HTTP request, and is not refused however many requests are waiting.

        Raises Overloaded if too many requests are waiting, and Unavailable (`queue_timeout`) after the
        longest wait. A cancelled request leaves the queue at once."""
        turn = Turn(tenant, num_choices)
        if not has_place:
            self._check_room(turn)
        self._queue.join(turn)
        self._is_empty.clear()
        try:
            await self._called(turn)
            started = self._clock()
            yield turn
            self._measure(self._clock() - started)
        finally:
            self._queue.leave(turn)
            self._call_next()
            if self._queue.is_empty:
                self._is_empty.set()

    @property
    def max_running(self) -> int:
        """The most choices that may have their turn at the same time."""
        return self._limits.max_running

    @property
    def num_running(self) -> int:
        """Number of choices that have their turn."""
        return self._queue.num_running()

    @property
    def num_waiting(self) -> int:
        """Number of choices that are waiting for their turn."""
        return self._queue.num_waiting()

    def check_room(self, tenant: str) -> None:
        """Raises Overloaded if the tenant's next request would find no place in the queue, so that it can be
        rejected before its body is read."""
        self._check_room(Turn(tenant, 1))

    def charge(self, turn: Turn, cost: float) -> None:
        """Charges the turn for its cost since the last charge."""
        self._queue.charge(turn, cost)

    async def wait_until_empty(self) -> None:
        """Returns once no request is waiting or running."""
        await self._is_empty.wait()

    async def _called(self, turn: Turn) -> None:
        call = self._calls[turn] = asyncio.get_running_loop().create_future()
        try:
            self._call_next()
            async with asyncio.timeout(self._wait_seconds):
                await call
        except TimeoutError as error:
            raise Unavailable(
                f"The request has waited for its turn for {self._wait_seconds:g} s, the longest wait "
                "allowed: the model server is busy. Try again later.",
                retry_after_seconds=self._retry_after_seconds(self._queue.num_waiting()),
                code="queue_timeout",
            ) from error
        finally:
            del self._calls[turn]

    def _call_next(self) -> None:
        for turn in self._queue.admit():
            # A request that was cancelled just now is about to leave, and will then call the next one.
            if not self._calls[turn].done():
                self._calls[turn].set_result(None)

    def _check_room(self, turn: Turn) -> None:
        exceeded = self._queue.exceeded(turn)
        if exceeded is None:
            return
        if exceeded == "tenant":
            own = self._queue.num_waiting(turn.tenant)
            waiting = own * self._queue.num_waiting_tenants
            what = (
                f"{own} of your project's choices are waiting, which leaves no room for "
                f"{turn.num_choices} more"
            )
            limit = f"at most {self._limits.max_waiting_per_tenant} of a project may wait"
        else:
            waiting = self._queue.num_waiting()
            what = f"The queue has no room for {turn.num_choices} more choices"
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
        """Estimates when this many choices will have had their turn, from the measured throughput (Little's
        law)."""
        seconds = num_waiting * self._mean_seconds / self._limits.max_running
        return min(max(1, math.ceil(seconds)), _LONGEST_RETRY_SECONDS)
