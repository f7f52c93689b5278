"""Things in memory that are loaded once on first use, lent, and kept until their room is needed."""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cluster.contracts.errors import InvalidRequest, Overloaded, Unavailable

T = TypeVar("T")


@dataclass(eq=False)
class _Entry(Generic[T]):
    loading: asyncio.Task[T]
    num_bytes: int
    """What the thing takes; while it is being loaded, what is kept free for it."""
    users: int = 0

    @property
    def is_idle(self) -> bool:
        return self.users == 0 and self.loading.done()


class _TooLarge(Exception):
    """What was loaded takes more than was kept free for it, and has been dropped."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(num_bytes)
        self.num_bytes = num_bytes


class Loans(Generic[T]):
    """At most `capacity` things by key, which take at most `budget` bytes together; `num_bytes` tells of each
    what it takes.

    One in use is never dropped: who needs another while all are in use waits, at most `max_waiting` of them,
    and whenever one is given back, who has waited longest is the first to try. `drop` is told what left. Used
    from one event loop.
    """

    def __init__(
        self,
        *,
        capacity: int,
        max_waiting: int,
        drop: Callable[[T], None] = lambda thing: None,
        budget: int | None = None,
        num_bytes: Callable[[T], int] = lambda thing: 0,
    ) -> None:
        self._capacity = capacity
        self._max_waiting = max_waiting
        self._drop = drop
        self._budget = math.inf if budget is None else budget
        self._num_bytes = num_bytes
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        """Least recently used first; no failed ones."""
        self._waiting: deque[asyncio.Event] = deque()
        """One for each who waits, set when there may be room."""
        self._is_closed = False

    @property
    def loaded(self) -> dict[str, T]:
        """What is in memory now, by key."""
        return {key: entry.loading.result() for key, entry in self._entries.items() if entry.loading.done()}

    async def borrow(self, key: str, load: Callable[[], Awaitable[T]]) -> T:
        """The thing, to be given back. `load` runs once however many ask; what it raises, all of them get,
        and the next one tries again. Raises Overloaded if too many wait for room, and InvalidRequest for a
        thing that is larger than the budget.

        What a thing takes shows only when it is loaded. If there is no room for it then, it is dropped, and
        loaded again once there is.
        """
        num_bytes = 0
        while True:
            await self._wait_for_room(key, num_bytes)
            if (entry := self._entries.get(key)) is None:
                entry = _Entry(asyncio.ensure_future(self._loaded(key, load)), num_bytes)
                self._entries[key] = entry
                self._wake()
            self._entries.move_to_end(key)
            entry.users += 1
            try:
                # Shielded: who goes away must not take the load from those who wait for it too.
                return await asyncio.shield(entry.loading)
            except _TooLarge as error:
                num_bytes = error.num_bytes
                self._let_go(entry)
            except BaseException:
                self._let_go(entry)
                raise

    def give_back(self, key: str) -> None:
        if entry := self._entries.get(key):
            self._let_go(entry)

    async def close(self) -> None:
        """Waits for loads under way and drops everything. Who waits for room gets Unavailable."""
        self._is_closed = True
        loading = [entry.loading for entry in self._entries.values()]
        await asyncio.gather(*loading, return_exceptions=True)
        dropped = self.loaded
        self._entries.clear()
        self._wake()
        for thing in dropped.values():
            self._drop(thing)

    async def _loaded(self, key: str, load: Callable[[], Awaitable[T]]) -> T:
        try:
            thing = await load()
            try:
                self._admit(self._entries[key], self._num_bytes(thing))
            except BaseException:
                self._drop(thing)
                raise
            return thing
        except BaseException:
            del self._entries[key]
            self._wake()
            raise

    def _admit(self, entry: _Entry[T], num_bytes: int) -> None:
        if num_bytes > self._budget:
            raise InvalidRequest(
                f"The model takes {num_bytes} bytes of memory; all that are in use together may take "
                f"{self._budget}.",
                code="model_too_large",
                param="model",
            )
        entry.num_bytes = num_bytes
        if not self._make_room():
            raise _TooLarge(num_bytes)

    def _let_go(self, entry: _Entry[T]) -> None:
        entry.users -= 1
        if entry.users == 0:
            self._wake()

    async def _wait_for_room(self, key: str, num_bytes: int) -> None:
        """Returns when the thing is here or may be loaded."""
        if self._is_here_or_fits(key, num_bytes):
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("Too many requests wait for other models to finish; try again.")
        turn = asyncio.Event()
        self._waiting.append(turn)
        try:
            while not self._is_here_or_fits(key, num_bytes):
                turn.clear()
                await turn.wait()
        finally:
            self._waiting.remove(turn)

    def _is_here_or_fits(self, key: str, num_bytes: int) -> bool:
        if self._is_closed:
            raise Unavailable("The engine was closed.")
        return key in self._entries or self._make_room(for_bytes=num_bytes, for_entries=1)

    def _wake(self) -> None:
        """All of them, in order: one may find room, and others what it loads."""
        for turn in self._waiting:
            turn.set()

    def _make_room(self, *, for_bytes: int = 0, for_entries: int = 0) -> bool:
        """Drops the least recently used idle things until so much more fits in; none if that cannot be."""
        bytes_left = self._budget - for_bytes - sum(entry.num_bytes for entry in self._entries.values())
        entries_left = self._capacity - for_entries - len(self._entries)
        leaving = []
        for key, entry in self._entries.items():
            if bytes_left >= 0 and entries_left >= 0:
                break
            if entry.is_idle:
                leaving.append(key)
                bytes_left += entry.num_bytes
                entries_left += 1
        if bytes_left < 0 or entries_left < 0:
            return False
        for key in leaving:
            self._drop(self._entries.pop(key).loading.result())
        return True
