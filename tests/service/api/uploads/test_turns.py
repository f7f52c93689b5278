"""Which requests have their turn, and which wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from cluster.contracts.errors import Unavailable
from service.api.uploads.turns import Turns

pytestmark = pytest.mark.anyio


class Visit:
    """One request, which keeps its turn until it is told to leave."""

    def __init__(self, turns: Turns, project: str, takes: int = 1) -> None:
        self.has_turn = False
        self._may_leave = asyncio.Event()
        self.task = asyncio.create_task(self._run(turns, project, takes))

    async def _run(self, turns: Turns, project: str, takes: int) -> None:
        async with turns.turn(project, takes):
            self.has_turn = True
            await self._may_leave.wait()

    async def leave(self) -> None:
        self._may_leave.set()
        await self.task


@asynccontextmanager
async def visits(turns: Turns, project: str, count: int, takes: int = 1) -> AsyncIterator[list[Visit]]:
    """The tasks are cancelled at the end."""
    made = [Visit(turns, project, takes) for _ in range(count)]
    await settled()
    try:
        yield made
    finally:
        for visit in made:
            visit.task.cancel()
        await settled()


async def settled() -> None:
    """Returns when everything that can run without another event has run."""
    for _ in range(10):
        await asyncio.sleep(0)


def with_turn(*groups: list[Visit]) -> list[int]:
    return [sum(visit.has_turn for visit in group) for group in groups]


async def test_a_project_has_half_of_the_turns_however_many_requests_it_sends() -> None:
    turns = Turns(4, wait_seconds=60)
    async with AsyncExitStack() as stack:
        flood = await stack.enter_async_context(visits(turns, "flood", 50))
        assert with_turn(flood) == [2]
        quiet = await stack.enter_async_context(visits(turns, "quiet", 1))
        others = await stack.enter_async_context(visits(turns, "other", 2))
        assert with_turn(flood, quiet, others) == [2, 1, 1]
        await flood[0].leave()
        await settled()
        # The other project came before the flood's third request reached the common queue.
        assert with_turn(flood, quiet, others) == [2, 1, 2]
        await flood[1].leave()
        await settled()
        assert with_turn(flood, quiet, others) == [3, 1, 2]


async def test_a_cancelled_request_gives_its_place_to_the_next() -> None:
    turns = Turns(2, wait_seconds=60)
    async with visits(turns, "a", 3) as (first, second, third):
        assert with_turn([first, second, third]) == [1]
        second.task.cancel()
        await settled()
        first.task.cancel()
        await settled()
        assert third.has_turn


async def test_a_request_that_waits_too_long_is_told_so_and_leaves_the_queue() -> None:
    turns = Turns(1, wait_seconds=0)
    async with visits(turns, "a", 1) as (first,):
        for project in ("a", "b"):
            with pytest.raises(Unavailable) as error:
                async with turns.turn(project):
                    pass
            assert error.value.code == "queue_timeout"
        await first.leave()
        async with turns.turn("b"):
            pass


async def test_requests_that_say_how_much_they_take_have_room_for_it_together() -> None:
    turns = Turns(100, wait_seconds=60)
    async with AsyncExitStack() as stack:
        large = await stack.enter_async_context(visits(turns, "a", 3, takes=20))
        assert with_turn(large) == [2]
        small = await stack.enter_async_context(visits(turns, "a", 1, takes=5))
        other = await stack.enter_async_context(visits(turns, "b", 6, takes=10))
        # The project's small request does not overtake its third large one, for which there is no room.
        assert with_turn(large, small, other) == [2, 0, 5]
        await large[0].leave()
        await settled()
        assert with_turn(large, small, other) == [3, 1, 5]


async def test_a_request_that_takes_more_than_its_project_may_have_still_has_its_turn() -> None:
    turns = Turns(100, wait_seconds=60)
    async with visits(turns, "a", 2, takes=1000) as made:
        assert with_turn(made) == [1]
        await made[0].leave()
        await settled()
        assert with_turn(made) == [2]


async def test_a_request_that_is_cancelled_as_its_turn_comes_gives_it_back() -> None:
    turns = Turns(20, wait_seconds=60)
    first = turns.turn("a", 10)
    await first.__aenter__()
    async with visits(turns, "a", 2, takes=10) as (second, third):
        await first.__aexit__(None, None, None)
        second.task.cancel()
        await settled()
        assert (second.has_turn, third.has_turn) == (False, True)


async def test_a_turn_that_comes_to_a_request_that_was_just_cancelled_goes_to_the_next_one() -> None:
    turns = Turns(20, wait_seconds=60)
    first = turns.turn("a", 10)
    await first.__aenter__()
    async with visits(turns, "a", 2, takes=10) as (second, third):
        second.task.cancel()
        await first.__aexit__(None, None, None)
        await settled()
        assert (second.has_turn, third.has_turn) == (False, True)
        await third.leave()
    async with turns.turn("b", 10), turns.turn("a", 10):
        pass
