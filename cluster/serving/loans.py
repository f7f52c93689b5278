"""Things in memory that are loaded once on first use, lent, and kept until their room is needed."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cluster.contracts.errors import Overloaded, Unavailable

T = TypeVar("T")


@dataclass
class _Entry(Generic[T]):
    loading: asyncio.Task[T]
    users: int = 0

    @property
    def has_failed(self) -> bool:
        return self.loading.done() and (self.loading.cancelled() or self.loading.exception() is not None)

    @property
    def is_idle(self) -> bool:
        return self.users == 0 and self.loading.done()


class Loans(Generic[T]):
    """At most `capacity` things by key. One in use is never dropped: who needs another while all are in use
    waits, at most `max_waiting` of them. `drop` is told what left. Used from one event loop."""

    def __init__(
        self, *, capacity: int, max_waiting: int, drop: Callable[[T], None] = lambda thing: None
    ) -> None:
        self._capacity = capacity
        self._max_waiting = max_waiting
        self._drop = drop
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        """Least recently used first."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    @property
    def loaded(self) -> dict[str, T]:
        """What is in memory now, by key."""
        return {
            key: entry.loading.result()
            for key, entry in self._entries.items()
            if entry.loading.done() and not entry.has_failed
        }

    async def borrow(self, key: str, load: Callable[[], Awaitable[T]]) -> T:
        """The thing, to be given back. `load` runs once however many ask; what it raises, all of them get,
        and the next one tries again. Raises Overloaded if too many wait for room."""
        while (entry := self._entries.get(key)) is None and not self._has_room():
            await self._turn()
        self._check_open()
        if entry is None:
            entry = _Entry(asyncio.ensure_future(load()))
            self._entries[key] = entry
            self._wake()
        self._entries.move_to_end(key)
        entry.users += 1
        try:
            # Shielded: who goes away must not take the load from those who wait for it too.
            return await asyncio.shield(entry.loading)
        except BaseException:
            self._let_go(key, entry)
            raise

    def give_back(self, key: str) -> None:
        if entry := self._entries.get(key):
            self._let_go(key, entry)

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

    def _let_go(self, key: str, entry: _Entry[T]) -> None:
        entry.users -= 1
        if entry.has_failed and self._entries.get(key) is entry:
            del self._entries[key]
        if entry.users == 0 or entry.has_failed:
            self._wake()

    def _has_room(self) -> bool:
        """Drops the least recently used idle thing if that makes room."""
        self._check_open()
        if len(self._entries) < self._capacity:
            return True
        for key, entry in self._entries.items():
            if entry.is_idle:
                del self._entries[key]
                if not entry.has_failed:
                    self._drop(entry.loading.result())
                return True
        return False

    async def _turn(self) -> None:
        """Returns when room may have been made; who finds none comes back, behind those who came before."""
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("Too many requests wait for other models to finish; try again.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake(self) -> None:
        """All of them, in order: one may find room, and others what it loads."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("The engine was closed.")
