import asyncio

import pytest

from cluster.contracts.errors import InvalidRequest, NotFound, Overloaded, Unavailable
from cluster.serving.loans import Loans


class Shelf:
    """Counts loads, which wait for their gate if there is one."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.dropped: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.broken: set[str] = set()

    def loans(self, capacity: int, max_waiting: int = 10, budget: int | None = None) -> Loans[str]:
        """Each thing takes as many bytes as its key has characters."""
        return Loans(
            capacity=capacity,
            max_waiting=max_waiting,
            drop=self.dropped.append,
            budget=budget,
            num_bytes=len,
        )

    async def load(self, key: str) -> str:
        self.loads.append(key)
        if gate := self.gates.get(key):
            await gate.wait()
        if key in self.broken:
            raise NotFound(key)
        return key

    async def borrow(self, loans: Loans[str], key: str) -> str:
        return await loans.borrow(key, lambda: self.load(key))


async def _settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def _load_once() -> None:
    shelf = Shelf()
    loans = shelf.loans(2)
    assert await asyncio.gather(*(shelf.borrow(loans, "a") for _ in range(5))) == ["a"] * 5
    assert shelf.loads == ["a"]


def test_one_load_however_many_ask() -> None:
    asyncio.run(_load_once())


async def _least_recent() -> None:
    shelf = Shelf()
    loans = shelf.loans(2)
    for key in ("a", "b", "a", "c"):
        await shelf.borrow(loans, key)
        loans.give_back(key)
    assert shelf.dropped == ["b"]
    assert set(loans.loaded) == {"a", "c"}


def test_the_least_recently_used_idle_one_makes_room() -> None:
    asyncio.run(_least_recent())


async def _in_use() -> None:
    shelf = Shelf()
    loans = shelf.loans(1)
    await shelf.borrow(loans, "a")
    others = [asyncio.create_task(shelf.borrow(loans, key)) for key in ("b", "c", "b")]
    await _settle()
    assert shelf.loads == ["a"]
    assert not any(task.done() for task in others)
    loans.give_back("a")
    await _settle()
    assert [task.done() for task in others] == [True, False, True], "who wants the same comes in together"
    loans.give_back("b")
    await _settle()
    assert not others[1].done()
    loans.give_back("b")
    assert await others[1] == "c"
    assert shelf.dropped == ["a", "b"]


def test_one_in_use_is_never_dropped_and_the_next_waits() -> None:
    asyncio.run(_in_use())


async def _failing() -> None:
    shelf = Shelf()
    loans = shelf.loans(1)
    shelf.broken.add("a")
    outcomes = await asyncio.gather(*(shelf.borrow(loans, "a") for _ in range(2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotFound, NotFound]
    assert loans.loaded == {}
    shelf.broken.clear()
    assert await shelf.borrow(loans, "a") == "a"
    assert shelf.loads == ["a", "a"]


def test_a_failed_load_reaches_all_who_asked_and_is_tried_again() -> None:
    asyncio.run(_failing())


async def _leaving() -> None:
    shelf = Shelf()
    loans = shelf.loans(1)
    shelf.gates["a"] = asyncio.Event()
    leaver = asyncio.create_task(shelf.borrow(loans, "a"))
    stayer = asyncio.create_task(shelf.borrow(loans, "a"))
    await _settle()
    leaver.cancel()
    await _settle()
    shelf.gates["a"].set()
    assert await stayer == "a"
    other = asyncio.create_task(shelf.borrow(loans, "b"))
    await _settle()
    assert not other.done(), "the stayer has it still"
    loans.give_back("a")
    assert await other == "b"


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    asyncio.run(_leaving())


async def _bounded() -> None:
    shelf = Shelf()
    loans = shelf.loans(1, max_waiting=1)
    await shelf.borrow(loans, "a")
    waiting = asyncio.create_task(shelf.borrow(loans, "b"))
    await _settle()
    with pytest.raises(Overloaded):
        await shelf.borrow(loans, "c")
    await loans.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await shelf.borrow(loans, "a")
    assert shelf.dropped == ["a"]


def test_too_many_waiting_are_refused_and_closing_ends_the_wait() -> None:
    asyncio.run(_bounded())


async def _abandoned() -> None:
    shelf = Shelf()
    loans = shelf.loans(1)
    shelf.broken.add("a")
    shelf.gates["a"] = asyncio.Event()
    leaver = asyncio.create_task(shelf.borrow(loans, "a"))
    await _settle()
    leaver.cancel()
    shelf.gates["a"].set()
    await _settle()
    shelf.broken.clear()
    assert await shelf.borrow(loans, "a") == "a"


def test_a_failure_that_nobody_stayed_for_is_nobodys() -> None:
    asyncio.run(_abandoned())


async def _by_size() -> None:
    shelf = Shelf()
    loans = shelf.loans(10, budget=7)
    for key in ("a", "bb", "ccc", "a", "dddd"):
        await shelf.borrow(loans, key)
        loans.give_back(key)
    assert shelf.dropped == ["bb", "ccc"]
    assert set(loans.loaded) == {"a", "dddd"}
    with pytest.raises(InvalidRequest, match="8 bytes"):
        await shelf.borrow(loans, "too long")
    assert set(loans.loaded) == {"a", "dddd"}, "nothing is dropped for what can never fit"


def test_the_least_recently_used_leave_until_the_next_fits_the_budget() -> None:
    asyncio.run(_by_size())


async def _in_use_by_size() -> None:
    shelf = Shelf()
    loans = shelf.loans(10, budget=5)
    for key in ("aaa", "b"):
        await shelf.borrow(loans, key)
    loans.give_back("b")
    others = [asyncio.create_task(shelf.borrow(loans, key)) for key in ("cccc", "dd", "cccc")]
    await _settle()
    assert [task.done() for task in others] == [False, True, False], (
        "what fits beside the others does not wait"
    )
    assert shelf.dropped == ["cccc", "b"], "it was loaded before its size was known, and could not stay"
    for key in ("aaa", "dd"):
        assert not others[0].done()
        loans.give_back(key)
        await _settle()
    assert await asyncio.gather(others[0], others[2]) == ["cccc"] * 2
    assert shelf.loads == ["aaa", "b", "cccc", "dd", "cccc"]


def test_what_does_not_fit_beside_those_in_use_waits_and_none_of_them_is_dropped() -> None:
    asyncio.run(_in_use_by_size())


async def _in_order() -> None:
    shelf = Shelf()
    loans = shelf.loans(1)
    await shelf.borrow(loans, "a")
    keys = ["b", "c", "d"]
    others = [asyncio.create_task(shelf.borrow(loans, key)) for key in keys]
    await _settle()
    for task, key, before in zip(others, keys, ["a", *keys], strict=False):
        loans.give_back(before)
        assert await task == key
    assert shelf.loads == ["a", *keys]


def test_who_waits_longest_is_next() -> None:
    asyncio.run(_in_order())
