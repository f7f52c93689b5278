import asyncio
from typing import Any

import pytest

from cluster.contracts.errors import InvalidRequest, NotFound, Overloaded, Unavailable
from cluster.serving.residency.model_cache import ModelCache

pytestmark = pytest.mark.anyio


class Shelf:
    """Counts loads, each of which waits for its gate if it has one."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.dropped: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.drop_gates: dict[str, asyncio.Event] = {}
        self.broken: set[str] = set()

    def cache(self, capacity: int, max_waiting: int = 10, **limits: Any) -> ModelCache[str]:
        """Each item has as many bytes as its key has characters."""
        return ModelCache(
            capacity=capacity, max_waiting=max_waiting, unload=self.drop, num_bytes=len, **limits
        )

    async def drop(self, key: str) -> None:
        if gate := self.drop_gates.get(key):
            await gate.wait()
        self.dropped.append(key)

    async def load(self, key: str) -> str:
        self.loads.append(key)
        if gate := self.gates.get(key):
            await gate.wait()
        if key in self.broken:
            raise NotFound(key)
        return key

    async def acquire(self, cache: ModelCache[str], key: str, *, expects_bytes: int = 0) -> str:
        return await cache.acquire(key, lambda: self.load(key), expects_bytes=expects_bytes)


async def _settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_concurrent_requests_share_one_load() -> None:
    shelf = Shelf()
    cache = shelf.cache(2)
    assert await asyncio.gather(*(shelf.acquire(cache, "a") for _ in range(5))) == ["a"] * 5
    assert shelf.loads == ["a"]


async def test_the_least_recently_used_idle_item_is_evicted() -> None:
    shelf = Shelf()
    cache = shelf.cache(2)
    for key in ("a", "b", "a", "c"):
        await shelf.acquire(cache, key)
        cache.release(key)
    assert shelf.dropped == ["b"]
    assert set(cache.loaded) == {"a", "c"}


async def test_an_item_in_use_is_never_evicted_and_the_next_load_waits() -> None:
    shelf = Shelf()
    cache = shelf.cache(1)
    await shelf.acquire(cache, "a")
    others = [asyncio.create_task(shelf.acquire(cache, key)) for key in ("b", "c", "b")]
    await _settle()
    assert shelf.loads == ["a"]
    assert not any(task.done() for task in others)
    cache.release("a")
    await _settle()
    assert [task.done() for task in others] == [True, False, True], "who wants the same comes in together"
    cache.release("b")
    await _settle()
    assert not others[1].done()
    cache.release("b")
    assert await others[1] == "c"
    assert shelf.dropped == ["a", "b"]


async def test_a_failed_load_reaches_all_callers_and_is_retried() -> None:
    shelf = Shelf()
    cache = shelf.cache(1)
    shelf.broken.add("a")
    outcomes = await asyncio.gather(*(shelf.acquire(cache, "a") for _ in range(2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotFound, NotFound]
    assert cache.loaded == {}
    shelf.broken.clear()
    assert await shelf.acquire(cache, "a") == "a"
    assert shelf.loads == ["a", "a"]


async def test_a_cancelled_caller_does_not_affect_the_others() -> None:
    shelf = Shelf()
    cache = shelf.cache(1)
    shelf.gates["a"] = asyncio.Event()
    leaver = asyncio.create_task(shelf.acquire(cache, "a"))
    stayer = asyncio.create_task(shelf.acquire(cache, "a"))
    await _settle()
    leaver.cancel()
    await _settle()
    shelf.gates["a"].set()
    assert await stayer == "a"
    other = asyncio.create_task(shelf.acquire(cache, "b"))
    await _settle()
    assert not other.done(), "the stayer has it still"
    cache.release("a")
    assert await other == "b"


async def test_too_many_waiting_callers_are_refused_and_closing_ends_the_wait() -> None:
    shelf = Shelf()
    cache = shelf.cache(1, max_waiting=1)
    await shelf.acquire(cache, "a")
    waiting = asyncio.create_task(shelf.acquire(cache, "b"))
    await _settle()
    with pytest.raises(Overloaded):
        await shelf.acquire(cache, "c")
    await cache.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await shelf.acquire(cache, "a")
    assert shelf.dropped == ["a"]


async def test_a_failed_load_without_callers_is_dropped() -> None:
    shelf = Shelf()
    cache = shelf.cache(1)
    shelf.broken.add("a")
    shelf.gates["a"] = asyncio.Event()
    leaver = asyncio.create_task(shelf.acquire(cache, "a"))
    await _settle()
    leaver.cancel()
    shelf.gates["a"].set()
    await _settle()
    shelf.broken.clear()
    assert await shelf.acquire(cache, "a") == "a"


async def test_the_least_recently_used_items_are_evicted_until_the_next_fits() -> None:
    shelf = Shelf()
    cache = shelf.cache(10, budget=7)
    for key in ("a", "bb", "ccc", "a", "dddd"):
        await shelf.acquire(cache, key)
        cache.release(key)
    assert shelf.dropped == ["bb", "ccc"]
    assert set(cache.loaded) == {"a", "dddd"}
    with pytest.raises(InvalidRequest, match="8 bytes"):
        await shelf.acquire(cache, "too long")
    assert set(cache.loaded) == {"a", "dddd"}, "nothing is dropped for what can never fit"


async def test_an_item_that_does_not_fit_beside_those_in_use_waits() -> None:
    shelf = Shelf()
    cache = shelf.cache(10, budget=5)
    for key in ("aaa", "b"):
        await shelf.acquire(cache, key)
    cache.release("b")
    others = [asyncio.create_task(shelf.acquire(cache, key)) for key in ("cccc", "dd", "cccc")]
    await _settle()
    assert [task.done() for task in others] == [False, True, False], (
        "what fits beside the others does not wait"
    )
    assert shelf.dropped == ["cccc", "b"], "it was loaded before its size was known, and could not stay"
    for key in ("aaa", "dd"):
        assert not others[0].done()
        cache.release(key)
        await _settle()
    assert await asyncio.gather(others[0], others[2]) == ["cccc"] * 2
    assert shelf.loads == ["aaa", "b", "cccc", "dd", "cccc"]


async def test_the_longest_waiting_caller_is_next() -> None:
    shelf = Shelf()
    cache = shelf.cache(1)
    await shelf.acquire(cache, "a")
    keys = ["b", "c", "d"]
    others = [asyncio.create_task(shelf.acquire(cache, key)) for key in keys]
    await _settle()
    for task, key, before in zip(others, keys, ["a", *keys], strict=False):
        cache.release(before)
        assert await task == key
    assert shelf.loads == ["a", *keys]


async def test_no_caller_takes_the_room_that_another_waits_for() -> None:
    shelf = Shelf()
    cache = shelf.cache(10, budget=5)
    for key in ("a", "aaa"):
        await shelf.acquire(cache, key, expects_bytes=len(key))

    async def use(key: str) -> None:
        await shelf.acquire(cache, key, expects_bytes=len(key))
        cache.release(key)

    large = asyncio.create_task(use("bbbb"))
    await _settle()
    small = asyncio.create_task(use("c"))
    await _settle()
    assert not small.done(), "there is room for it, but of what another one waits for"
    await asyncio.wait_for(use("a"), 30)
    cache.release("aaa")
    # Before the waiting callers are notified.
    await use("d")
    assert shelf.loads == ["a", "aaa", "bbbb", "c", "d"]
    await asyncio.gather(large, small)


async def test_a_caller_that_stops_waiting_blocks_no_others() -> None:
    shelf = Shelf()
    cache = shelf.cache(10, budget=5)
    await shelf.acquire(cache, "aaa", expects_bytes=3)
    large = asyncio.create_task(shelf.acquire(cache, "bbbb", expects_bytes=4))
    await _settle()
    small = asyncio.create_task(shelf.acquire(cache, "cc", expects_bytes=2))
    await _settle()
    assert not small.done()
    large.cancel()
    assert await asyncio.wait_for(small, 30) == "cc"


async def test_room_is_made_for_the_expected_size_before_the_load() -> None:
    shelf = Shelf()
    cache = shelf.cache(10, budget=5)
    await shelf.acquire(cache, "aaa", expects_bytes=3)
    await shelf.acquire(cache, "b", expects_bytes=1)
    cache.release("b")
    waiting = asyncio.create_task(shelf.acquire(cache, "ccc", expects_bytes=3))
    await _settle()
    assert (shelf.loads, shelf.dropped) == (["aaa", "b"], []), "it is known beforehand that it does not fit"
    cache.release("aaa")
    assert await waiting == "ccc"
    assert shelf.dropped == ["b", "aaa"]
    with pytest.raises(InvalidRequest, match=r"takes 6 bytes.*may take 5") as caught:
        await shelf.acquire(cache, "dddddd", expects_bytes=6)
    assert caught.value.code == "model_too_large"
    assert "dddddd" not in shelf.loads


async def test_unused_reserved_memory_is_free_for_others() -> None:
    shelf = Shelf()
    cache = shelf.cache(10, budget=5)
    shelf.gates["a"] = asyncio.Event()
    larger = asyncio.create_task(shelf.acquire(cache, "a", expects_bytes=5))
    await _settle()
    other = asyncio.create_task(shelf.acquire(cache, "bb", expects_bytes=2))
    await _settle()
    assert not other.done()
    shelf.gates["a"].set()
    assert await asyncio.gather(larger, other) == ["a", "bb"]


async def test_nothing_is_loaded_before_the_evicted_item_is_unloaded() -> None:
    shelf = Shelf()
    cache = shelf.cache(1)
    await shelf.acquire(cache, "a")
    cache.release("a")
    shelf.drop_gates["a"] = asyncio.Event()
    others = [asyncio.create_task(shelf.acquire(cache, key)) for key in ("b", "b")]
    await _settle()
    assert shelf.loads == ["a"]
    shelf.drop_gates["a"].set()
    assert await asyncio.gather(*others) == ["b", "b"]
    assert (shelf.loads, shelf.dropped) == (["a", "b"], ["a"])


async def _broken_drop() -> None:
    shelf = Shelf()

    async def fail(key: str) -> None:
        raise RuntimeError(key)

    cache: ModelCache[str] = ModelCache(capacity=1, max_waiting=1, unload=fail)
    for key in ("a", "b"):
        assert await shelf.acquire(cache, key) == key
        cache.release(key)
    await cache.close()


def test_a_failed_unload_does_not_block_others(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(_broken_drop())
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["a", "b"]


async def test_a_caller_that_waited_too_long_gets_unavailable() -> None:
    shelf = Shelf()
    cache = shelf.cache(1, wait_seconds=0.01)
    await shelf.acquire(cache, "a")
    with pytest.raises(Unavailable, match=r"0\.01 s") as caught:
        await shelf.acquire(cache, "b")
    assert caught.value.retry_after_seconds > 0
    cache.release("a")
    assert await shelf.acquire(cache, "b") == "b"


async def test_an_item_loaded_for_a_cancelled_caller_makes_room() -> None:
    shelf = Shelf()
    cache = shelf.cache(1)
    shelf.gates["a"] = asyncio.Event()
    leaver = asyncio.create_task(shelf.acquire(cache, "a"))
    await _settle()
    other = asyncio.create_task(shelf.acquire(cache, "b"))
    leaver.cancel()
    await _settle()
    shelf.gates["a"].set()
    async with asyncio.timeout(30):
        assert await other == "b"


class Watched(Shelf):
    """Signals when an item has been unloaded."""

    def __init__(self) -> None:
        super().__init__()
        self.has_dropped = asyncio.Event()

    async def drop(self, key: str) -> None:
        await super().drop(key)
        self.has_dropped.set()


async def test_an_idle_item_expires() -> None:
    shelf = Watched()
    cache = shelf.cache(10, idle_seconds=0.01)
    await shelf.acquire(cache, "kept")
    await shelf.acquire(cache, "a")
    await shelf.acquire(cache, "a")
    cache.release("a")
    shelf.gates["b"] = asyncio.Event()
    leaver = asyncio.create_task(shelf.acquire(cache, "b"))
    await _settle()
    leaver.cancel()
    await _settle()
    shelf.gates["b"].set()
    async with asyncio.timeout(30):
        await shelf.has_dropped.wait()
        assert shelf.dropped == ["b"], "the others are in use"
        shelf.has_dropped.clear()
        cache.release("a")
        await shelf.has_dropped.wait()
    assert shelf.dropped == ["b", "a"]
    assert set(cache.loaded) == {"kept"}
    assert await shelf.acquire(cache, "a") == "a"
    await cache.close()


async def test_an_item_in_regular_use_stays() -> None:
    shelf = Shelf()
    cache = shelf.cache(10, idle_seconds=0.05)
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.2
    while loop.time() < until:
        await shelf.acquire(cache, "a")
        cache.release("a")
        await asyncio.sleep(0)
    assert shelf.loads == ["a"]


async def test_a_long_use_counts_until_its_end() -> None:
    shelf = Shelf()
    cache = shelf.cache(2)
    await shelf.acquire(cache, "long")
    await shelf.acquire(cache, "short")
    cache.release("short")
    cache.release("long")
    await shelf.acquire(cache, "new")
    assert shelf.dropped == ["short"]


async def test_an_item_that_can_never_fit_beside_pinned_ones_does_not_wait() -> None:
    shelf = Shelf()
    by_size, by_number = shelf.cache(10, budget=5), shelf.cache(1)
    for cache in (by_size, by_number):
        await shelf.acquire(cache, "aaa")
        cache.pin("aaa")
        with pytest.raises(InvalidRequest, match=r"takes 3 bytes.* 1 of \d+ are always kept, and take 3"):
            await shelf.acquire(cache, "bbb", expects_bytes=3)
        assert await shelf.acquire(cache, "aaa") == "aaa"
    assert await shelf.acquire(by_size, "cc", expects_bytes=2) == "cc"


async def test_busy_items_take_turns_with_one_that_a_caller_waits_for() -> None:
    shelf = Shelf()
    cache = shelf.cache(2, turn_seconds=0)
    for key in ("b", "b", "a"):
        await shelf.acquire(cache, key)
    new = asyncio.create_task(shelf.acquire(cache, "c"))
    await _settle()
    late = [asyncio.create_task(shelf.acquire(cache, key)) for key in ("a", "b")]
    await _settle()
    assert [task.done() for task in (new, *late)] == [False, False, True], "the one with fewest users leaves"
    cache.release("a")
    await _settle()
    assert new.done()
    assert shelf.dropped == ["a"]
    cache.release("c")
    await _settle()
    assert late[0].done()
    assert shelf.loads == ["b", "a", "c", "a"]


async def test_an_item_keeps_its_place_until_its_turn_is_over() -> None:
    shelf = Shelf()
    cache = shelf.cache(1, turn_seconds=3600)
    await shelf.acquire(cache, "a")
    new = asyncio.create_task(shelf.acquire(cache, "b"))
    await _settle()
    assert await shelf.acquire(cache, "a") == "a"
    assert not new.done()
    for _ in range(2):
        cache.release("a")
    await new


async def test_an_item_under_constant_load_lets_another_in_once_its_turn_is_over() -> None:
    shelf = Shelf()
    cache = shelf.cache(1, max_waiting=10_000, turn_seconds=0.01)
    is_over = asyncio.Event()

    async def use(key: str) -> None:
        await shelf.acquire(cache, key)
        await asyncio.sleep(0.02)
        cache.release(key)

    async def keep_busy(group: asyncio.TaskGroup) -> None:
        """Each use begins long before the one before it ends."""
        while not is_over.is_set():
            group.create_task(use("a"))
            await asyncio.sleep(0.002)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        await shelf.acquire(cache, "a")
        group.create_task(keep_busy(group))
        await asyncio.sleep(0)
        cache.release("a")
        for key in ("b", "c", "b"):
            await use(key)
        is_over.set()
    assert [key for key in shelf.loads if key != "a"] == ["b", "c", "b"]


async def test_an_item_stays_if_the_caller_for_whom_it_was_to_leave_gives_up() -> None:
    shelf = Shelf()
    cache = shelf.cache(1, turn_seconds=0)
    await shelf.acquire(cache, "a")
    new = asyncio.create_task(shelf.acquire(cache, "b"))
    await _settle()
    late = asyncio.create_task(shelf.acquire(cache, "a"))
    await _settle()
    assert not late.done()
    new.cancel()
    await _settle()
    assert late.done()
    assert shelf.loads == ["a"]


async def test_a_large_item_gets_the_room_of_several_busy_ones() -> None:
    shelf = Shelf()
    cache = shelf.cache(4, budget=4, turn_seconds=0)
    for key in ("a", "b", "c"):
        await shelf.acquire(cache, key)
    large = asyncio.create_task(shelf.acquire(cache, "xyz", expects_bytes=3))
    await _settle()
    late = [asyncio.create_task(shelf.acquire(cache, key)) for key in ("a", "b", "c")]
    for key in ("a", "b"):
        cache.release(key)
        await _settle()
    assert large.done()
    assert set(cache.loaded) == {"c", "xyz"}
    cache.release("xyz")
    cache.release("c")
    await asyncio.gather(*late)
