"""Things in memory that are loaded once on first use, lent, and kept until their room is needed."""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from cluster.contracts.errors import InvalidRequest, Unavailable
from cluster.serving.residency.wait_queue import BoundedWaitQueue

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(eq=False)
class _Entry(Generic[T]):
    loading: asyncio.Task[T]
    num_bytes: int
    """What the thing takes; while it is being loaded, what is kept free for it."""
    users: int = 0
    is_pinned: bool = False
    load_seconds: float = 0.0
    expiry: asyncio.TimerHandle | None = None
    """While nobody uses it."""

    @property
    def is_idle(self) -> bool:
        return self.users == 0 and self.loading.done()

    def stop_expiry(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


class _TooLarge(Exception):
    """What was loaded takes more than was kept free for it, and has been dropped."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(num_bytes)
        self.num_bytes = num_bytes


class ModelCache(Generic[T]):
    """At most `capacity` things by key, which take at most `budget` bytes together; `num_bytes` tells of each
    what it takes.

    One in use is never dropped: who needs another while all are in use waits, at most `max_waiting` of them
    and `wait_seconds`. Who has waited longest gets the next room, however much the others need, or one that
    needs much would wait for as long as others come that need less. What nobody has used for `idle_seconds`
    goes by itself. `drop` frees what left, and nothing is loaded in its
    room before. Used from one event loop.
    """

    def __init__(
        self,
        *,
        capacity: int,
        max_waiting: int,
        drop: Callable[[T], Awaitable[None]] | None = None,
        budget: int | None = None,
        num_bytes: Callable[[T], int] = lambda thing: 0,
        wait_seconds: float | None = None,
        idle_seconds: float | None = None,
        setting: str = "",
    ) -> None:
        """None is no limit, and for `drop` nothing to be done. `setting` is what an operator knows `budget`
        by."""
        self._capacity = capacity
        self._drop = drop
        self._budget = math.inf if budget is None else budget
        self._num_bytes = num_bytes
        self._idle_seconds = idle_seconds
        self._setting = setting
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        """Least recently used first; no failed ones."""
        self._leaving: set[asyncio.Task[None]] = set()
        self._wait_queue = BoundedWaitQueue(max_waiting=max_waiting, wait_seconds=wait_seconds)
        self._is_closed = False

    def __contains__(self, key: str) -> bool:
        """Whether it is in memory, or on its way."""
        return key in self._entries

    @property
    def loaded(self) -> dict[str, T]:
        """What is in memory now, by key."""
        return {key: entry.loading.result() for key, entry in self._entries.items() if entry.loading.done()}

    def load_seconds(self, key: str) -> float:
        """That it took to load what is in memory."""
        return self._entries[key].load_seconds

    async def acquire(self, key: str, load: Callable[[], Awaitable[T]], *, expects_bytes: int = 0) -> T:
        """The thing, to be given back. `load` runs once however many ask; what it raises, all of them get,
        and the next one tries again. Raises Overloaded if too many wait for room, Unavailable after the
        longest wait, and InvalidRequest for a thing that can never fit beside those that are kept.

        Room is made for `expects_bytes` before it is loaded. If it then takes more, and there is no room for
        that, it is dropped, and loaded again once there is.
        """
        num_bytes = expects_bytes
        while True:
            await self._wait_queue.wait_until(partial(self._is_here_or_fits, key, num_bytes))
            if (entry := self._entries.get(key)) is None:
                entry = self._begin(key, load, num_bytes)
            self._entries.move_to_end(key)
            entry.users += 1
            entry.stop_expiry()
            try:
                # Shielded: who goes away must not take the load from those who wait for it too.
                return await asyncio.shield(entry.loading)
            except _TooLarge as error:
                num_bytes = error.num_bytes
                self._let_go(key, entry)
            except BaseException:
                self._let_go(key, entry)
                raise

    def pin(self, key: str) -> None:
        """For who has borrowed it and will not give it back."""
        self._entries[key].is_pinned = True

    def release(self, key: str) -> None:
        if entry := self._entries.get(key):
            self._let_go(key, entry)

    async def close(self) -> None:
        """Waits for loads under way and drops everything. Who waits for room gets Unavailable."""
        self._is_closed = True
        loading = [entry.loading for entry in self._entries.values()]
        await asyncio.gather(*loading, return_exceptions=True)
        for key in list(self._entries):
            self._remove(key)
        self._wait_queue.wake()
        await self._all_left()

    def _begin(self, key: str, load: Callable[[], Awaitable[T]], num_bytes: int) -> _Entry[T]:
        entry = _Entry(asyncio.ensure_future(self._loaded(key, load)), num_bytes)
        # All who asked may have gone away by then.
        entry.loading.add_done_callback(lambda _: self._rest_if_idle(key, entry))
        self._entries[key] = entry
        self._wait_queue.wake()
        return entry

    async def _loaded(self, key: str, load: Callable[[], Awaitable[T]]) -> T:
        try:
            await self._all_left()
            begun = time.monotonic()
            thing = await load()
            self._entries[key].load_seconds = time.monotonic() - begun
            try:
                self._admit(self._entries[key], self._num_bytes(thing))
            except BaseException:
                self._leave(thing)
                raise
            return thing
        except BaseException:
            del self._entries[key]
            raise
        finally:
            # It may take less than was kept free for it.
            self._wait_queue.wake()

    def _admit(self, entry: _Entry[T], num_bytes: int) -> None:
        self._check_size(num_bytes)
        entry.num_bytes = num_bytes
        if not self._make_room():
            raise _TooLarge(num_bytes)

    def _check_size(self, num_bytes: int) -> None:
        kept = [entry.num_bytes for entry in self._entries.values() if entry.is_pinned]
        if num_bytes > self._budget - sum(kept) or len(kept) >= self._capacity:
            setting = f" ({self._setting})" if self._setting else ""
            rest = f"; {len(kept)} of {self._capacity} are always kept, and take {sum(kept)}" if kept else ""
            raise InvalidRequest(
                f"The model takes {num_bytes} bytes of memory; all that are in use together may take "
                f"{self._budget}{setting}{rest}.",
                code="model_too_large",
                param="model",
            )

    def _let_go(self, key: str, entry: _Entry[T]) -> None:
        entry.users -= 1
        self._rest_if_idle(key, entry)

    def _rest_if_idle(self, key: str, entry: _Entry[T]) -> None:
        if not entry.is_idle or self._entries.get(key) is not entry:
            return
        self._entries.move_to_end(key)
        if self._idle_seconds is not None:
            entry.stop_expiry()
            entry.expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._remove, key)
        self._wait_queue.wake()

    def _is_here_or_fits(self, key: str, num_bytes: int, is_next: bool) -> bool:
        if self._is_closed:
            raise Unavailable("The engine was closed.")
        if key in self._entries:
            return True
        self._check_size(num_bytes)
        return is_next and self._make_room(for_bytes=num_bytes, for_entries=1)

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
            self._remove(key)
        return True

    def _remove(self, key: str) -> None:
        """An idle one."""
        entry = self._entries.pop(key)
        entry.stop_expiry()
        self._leave(entry.loading.result())

    def _leave(self, thing: T) -> None:
        if self._drop is not None:
            task = asyncio.ensure_future(self._drop(thing))
            self._leaving.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("What left the memory was not freed in order.", exc_info=error)

    async def _all_left(self) -> None:
        if self._leaving:
            await asyncio.wait(self._leaving)
