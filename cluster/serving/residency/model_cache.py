"""A cache of models or adapters that are loaded on first use and evicted when their memory is needed."""

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
_TURN_SECONDS = 2.0
_LOADS_IN_A_TURN = 4
"""An item's turn is at least this many times as long as its load, so loading takes at most a fifth of the
time while more items are in demand than fit."""

T = TypeVar("T")


@dataclass(eq=False)
class _Entry(Generic[T]):
    loading: asyncio.Task[T]
    num_bytes: int
    """Memory of the item. While it is being loaded, the memory that is reserved for it."""
    users: int = 0
    is_pinned: bool = False
    load_seconds: float = 0.0
    loaded_at: float = math.inf
    is_leaving: bool = False
    """Whether new callers must wait, so that the item becomes idle and makes room for another one."""
    expiry: asyncio.TimerHandle | None = None
    """Set while the item is idle."""

    @property
    def is_idle(self) -> bool:
        return self.users == 0 and self.loading.done()

    def stop_expiry(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


class _TooLarge(Exception):
    """The loaded item was larger than the memory that was reserved for it, and has been dropped."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(num_bytes)
        self.num_bytes = num_bytes


class ModelCache(Generic[T]):
    """Holds at most `capacity` items by key, with at most `budget` bytes in total. `num_bytes` returns the
    size of an item.

    An item in use is never evicted. If all items are in use, callers wait for room, at most `max_waiting` of
    them and for `wait_seconds`. The caller that has waited longest is served first, whatever its size;
    otherwise smaller loads could overtake a large one for ever.

    Items that are never idle take turns with those that callers wait for. A turn is over once the item has
    been in memory for `turn_seconds` and four times as long as it took to load, and a caller has waited for
    `turn_seconds`. New callers of that item then wait in the queue.

    An item that has been unused for `idle_seconds` is evicted. `unload` frees an evicted item, and nothing is
    loaded into its room before `unload` has ended. Used from one event loop.
    """

    def __init__(
        self,
        *,
        capacity: int,
        max_waiting: int,
        unload: Callable[[T], Awaitable[None]] | None = None,
        budget: int | None = None,
        num_bytes: Callable[[T], int] = lambda item: 0,
        wait_seconds: float | None = None,
        idle_seconds: float | None = None,
        turn_seconds: float = _TURN_SECONDS,
        setting: str = "",
    ) -> None:
        """None means no limit, or nothing to do for `unload`. `setting` is the environment variable that sets
        `budget`, for error messages."""
        self._capacity = capacity
        self._unload = unload
        self._budget = math.inf if budget is None else budget
        self._num_bytes = num_bytes
        self._idle_seconds = idle_seconds
        # Callers must wait long enough to see the end of a turn.
        self._turn_seconds = turn_seconds if wait_seconds is None else min(turn_seconds, wait_seconds / 2)
        self._turn: asyncio.TimerHandle | None = None
        """Timer that is set while the first in the queue waits for the end of an item's turn."""
        self._setting = setting
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        """Items, least recently used first. Failed loads are removed."""
        self._unloading: set[asyncio.Task[None]] = set()
        self._wait_queue = BoundedWaitQueue(max_waiting=max_waiting, wait_seconds=wait_seconds)
        self._is_closed = False
        self.loads = 0
        """Number of loads that have begun."""

    def __contains__(self, key: str) -> bool:
        """Whether the item is in memory or being loaded."""
        return key in self._entries

    @property
    def loaded(self) -> dict[str, T]:
        """The items in memory now, by key."""
        return {key: entry.loading.result() for key, entry in self._entries.items() if entry.loading.done()}

    def load_seconds(self, key: str) -> float:
        """How long it took to load an item that is in memory."""
        return self._entries[key].load_seconds

    async def acquire(self, key: str, load: Callable[[], Awaitable[T]], *, expects_bytes: int = 0) -> T:
        """Returns the item, which stays in memory until it is released. Concurrent callers share one `load`
        and its error; the next call after an error tries again. Raises Overloaded if too many callers wait
        for room, Unavailable after `wait_seconds`, and InvalidRequest for an item that can never fit beside
        the pinned ones.

        Room is made for `expects_bytes` before the load. If the item turns out larger and does not fit, it is
        dropped and loaded again once there is room.
        """
        num_bytes, since = expects_bytes, time.monotonic()
        while True:
            await self._wait_queue.wait_until(partial(self._is_here_or_fits, key, num_bytes, since))
            if (entry := self._entries.get(key)) is None:
                entry = self._begin(key, load, num_bytes)
                self.loads += 1
            self._entries.move_to_end(key)
            entry.users += 1
            entry.stop_expiry()
            try:
                # Shielded, because other callers may be waiting for the same load.
                return await asyncio.shield(entry.loading)
            except _TooLarge as error:
                num_bytes = error.num_bytes
                self._release(key, entry)
            except BaseException:
                self._release(key, entry)
                raise

    def pin(self, key: str) -> None:
        """Keeps an acquired item in memory for good. It need not be released."""
        self._entries[key].is_pinned = True

    def release(self, key: str) -> None:
        if entry := self._entries.get(key):
            self._release(key, entry)

    async def close(self) -> None:
        """Waits for running loads and evicts every item. Callers that wait for room get Unavailable."""
        self._is_closed = True
        if self._turn is not None:
            self._turn.cancel()
        loading = [entry.loading for entry in self._entries.values()]
        await asyncio.gather(*loading, return_exceptions=True)
        for key in list(self._entries):
            self._evict(key)
        self._wait_queue.wake()
        await self._wait_for_unloads()

    def _begin(self, key: str, load: Callable[[], Awaitable[T]], num_bytes: int) -> _Entry[T]:
        entry = _Entry(asyncio.ensure_future(self._loaded(key, load)), num_bytes)
        entry.loading.add_done_callback(lambda _: self._on_loaded(key, entry))
        self._entries[key] = entry
        self._let_all_stay()
        self._wait_queue.wake()
        return entry

    async def _loaded(self, key: str, load: Callable[[], Awaitable[T]]) -> T:
        try:
            await self._wait_for_unloads()
            begun = time.monotonic()
            item = await load()
            entry = self._entries[key]
            entry.loaded_at = time.monotonic()
            entry.load_seconds = entry.loaded_at - begun
            try:
                self._admit(entry, self._num_bytes(item))
            except BaseException:
                self._start_unload(item)
                raise
            return item
        except BaseException:
            del self._entries[key]
            raise
        finally:
            # The item may be smaller than the memory that was reserved for it.
            self._wait_queue.wake()

    def _on_loaded(self, key: str, entry: _Entry[T]) -> None:
        # All callers may have been cancelled by now, and asyncio logs an error that nobody retrieves.
        if not entry.loading.cancelled():
            entry.loading.exception()
        self._on_idle(key, entry)

    def _admit(self, entry: _Entry[T], num_bytes: int) -> None:
        self._check_size(num_bytes)
        entry.num_bytes = num_bytes
        if not self._make_room():
            raise _TooLarge(num_bytes)

    def _check_size(self, num_bytes: int) -> None:
        pinned = [entry.num_bytes for entry in self._entries.values() if entry.is_pinned]
        if num_bytes > self._budget - sum(pinned) or len(pinned) >= self._capacity:
            setting = f" ({self._setting})" if self._setting else ""
            rest = (
                f"; {len(pinned)} of {self._capacity} are always kept, and take {sum(pinned)}"
                if pinned
                else ""
            )
            raise InvalidRequest(
                f"The model takes {num_bytes} bytes of memory; all that are in use together may take "
                f"{self._budget}{setting}{rest}.",
                code="model_too_large",
                param="model",
            )

    def _release(self, key: str, entry: _Entry[T]) -> None:
        entry.users -= 1
        self._on_idle(key, entry)

    def _on_idle(self, key: str, entry: _Entry[T]) -> None:
        if not entry.is_idle or self._entries.get(key) is not entry:
            return
        self._entries.move_to_end(key)
        if self._idle_seconds is not None:
            entry.stop_expiry()
            entry.expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._evict, key)
        self._wait_queue.wake()

    def _is_here_or_fits(self, key: str, num_bytes: int, since: float, is_next: bool) -> bool:
        if self._is_closed:
            raise Unavailable("The engine was closed.")
        if (entry := self._entries.get(key)) is not None:
            if entry.is_leaving and is_next:
                # The callers for whom the item was to leave no longer wait.
                self._let_all_stay()
            return not entry.is_leaving
        self._check_size(num_bytes)
        if not is_next:
            return False
        if self._make_room(for_bytes=num_bytes, for_entries=1):
            return True
        self._end_turns(since, for_bytes=num_bytes, for_entries=1)
        return False

    def _let_all_stay(self) -> None:
        for entry in self._entries.values():
            entry.is_leaving = False

    def _end_turns(self, since: float, *, for_bytes: int, for_entries: int) -> None:
        """Makes items whose turns are over become idle, those with the fewest users first, until there is
        room for a caller that has waited since `since`. If there are too few such items, looks again once the
        next turn is over."""
        bytes_left, entries_left = self._left(for_bytes, for_entries)
        now, ends = time.monotonic(), []
        for entry in sorted(self._entries.values(), key=lambda entry: (not entry.is_leaving, entry.users)):
            if bytes_left >= 0 and entries_left >= 0:
                return
            if entry.is_pinned:
                continue
            end = max(since + self._turn_seconds, self._end_of_turn(entry))
            entry.is_leaving = entry.is_leaving or end <= now
            if entry.is_leaving or entry.is_idle:
                bytes_left += entry.num_bytes
                entries_left += 1
            else:
                ends.append(end)
        next_end = min(ends, default=math.inf)
        if self._turn is None and next_end < math.inf:
            self._turn = asyncio.get_running_loop().call_later(next_end - now, self._on_turn_over)

    def _end_of_turn(self, entry: _Entry[T]) -> float:
        return entry.loaded_at + max(self._turn_seconds, _LOADS_IN_A_TURN * entry.load_seconds)

    def _on_turn_over(self) -> None:
        self._turn = None
        self._wait_queue.wake()

    def _make_room(self, *, for_bytes: int = 0, for_entries: int = 0) -> bool:
        """Evicts the least recently used idle items until the given bytes and entries fit. Evicts none if
        that is impossible."""
        bytes_left, entries_left = self._left(for_bytes, for_entries)
        to_evict = []
        for key, entry in self._entries.items():
            if bytes_left >= 0 and entries_left >= 0:
                break
            if entry.is_idle:
                to_evict.append(key)
                bytes_left += entry.num_bytes
                entries_left += 1
        if bytes_left < 0 or entries_left < 0:
            return False
        for key in to_evict:
            self._evict(key)
        return True

    def _left(self, for_bytes: int, for_entries: int) -> tuple[float, int]:
        """Returns the bytes and places that remain free after this many more; below 0 if they do not fit."""
        taken = sum(entry.num_bytes for entry in self._entries.values())
        return self._budget - for_bytes - taken, self._capacity - for_entries - len(self._entries)

    def _evict(self, key: str) -> None:
        """Removes an idle item."""
        entry = self._entries.pop(key)
        entry.stop_expiry()
        self._start_unload(entry.loading.result())

    def _start_unload(self, item: T) -> None:
        if self._unload is not None:
            task = asyncio.ensure_future(self._unload(item))
            self._unloading.add(task)
            task.add_done_callback(self._unload_ended)

    def _unload_ended(self, task: asyncio.Task[None]) -> None:
        self._unloading.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("An evicted item could not be freed.", exc_info=error)

    async def _wait_for_unloads(self) -> None:
        if self._unloading:
            await asyncio.wait(self._unloading)
