import asyncio

import pytest

from cluster.contracts.errors import NotFound, Overloaded, Unavailable
from cluster.serving.loans import Loans


class Shelf:
    """Counts loads, which wait for their gate if there is one."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.dropped: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.broken: set[str] = set()

    def loans(self, capacity: int, max_waiting: int = 10) -> Loans[str]:
        return Loans(capacity=capacity, max_waiting=max_waiting, drop=self.dropped.append)

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
