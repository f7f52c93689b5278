"""Adapters in memory: loaded once on first use, kept while they are used, then until their room is needed."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from cluster.contracts.errors import Overloaded, Unavailable
from cluster.contracts.generation import AdapterRef
from cluster.serving.row_lora import Adapter

Load = Callable[[AdapterRef], Adapter]
"""Blocks; called in a thread of its own, never twice at once for one digest."""


@dataclass
class _Entry:
    loading: asyncio.Task[Adapter]
    users: int = 0


class AdapterCache:
    """At most `capacity` adapters. One in use is never dropped: who needs another while all are in use waits
    its turn. Used from one event loop."""

    def __init__(self, load: Load, *, capacity: int, max_waiting: int) -> None:
        self._load = load
        self._capacity = capacity
        self._max_waiting = max_waiting
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """Least recently used first."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def digests(self) -> list[str]:
        return [
            digest
            for digest, entry in self._entries.items()
            if entry.loading.done() and not entry.loading.cancelled() and entry.loading.exception() is None
        ]

    async def acquire(self, ref: AdapterRef) -> Adapter:
        """The adapter, for use until `release`. Raises what loading raises, Overloaded if too many wait."""
        while (entry := self._entries.get(ref.digest)) is None and not self._has_room():
            await self._turn()
        if entry is None:
            entry = _Entry(asyncio.ensure_future(asyncio.to_thread(self._load, ref)))
            self._entries[ref.digest] = entry
            self._wake()
        self._entries.move_to_end(ref.digest)
        entry.users += 1
        try:
            # Shielded: who goes away must not take the load from those who wait for it too.
            return await asyncio.shield(entry.loading)
        except BaseException:
            self._let_go(ref.digest, entry)
            raise

    def release(self, digest: str) -> None:
        if entry := self._entries.get(digest):
            self._let_go(digest, entry)

    async def close(self) -> None:
        """Waits for loads under way and drops everything. Who waits for a turn gets Unavailable."""
        loading = [entry.loading for entry in self._entries.values()]
        self._entries.clear()
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(Unavailable("The engine was closed."))
        await asyncio.gather(*loading, return_exceptions=True)

    def _let_go(self, digest: str, entry: _Entry) -> None:
        entry.users -= 1
        has_failed = entry.loading.done() and (entry.loading.cancelled() or entry.loading.exception())
        if has_failed and self._entries.get(digest) is entry:
            del self._entries[digest]
        if entry.users == 0 or has_failed:
            self._wake()

    def _has_room(self) -> bool:
        """Drops the least recently used idle adapter if that makes room."""
        if len(self._entries) < self._capacity:
            return True
        for digest, entry in self._entries.items():
            if entry.users == 0 and entry.loading.done():
                del self._entries[digest]
                return True
        return False

    async def _turn(self) -> None:
        """Returns when room may have been made; who finds none comes back, behind those who waited longer."""
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
        """All of them, in order: one may find room, and others the adapter that it loads."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
