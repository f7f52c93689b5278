"""Shared work that outlasts its callers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.contracts.errors import CorruptArtefact, Unavailable
from cluster.serving.deployment.lease import Abandoned
from cluster.serving.deployment.single_flight import SingleFlight


class Work:
    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun = 0

    async def __call__(self) -> int:
        self.begun += 1
        await self.go_on.wait()
        return self.begun


def why(seconds: float) -> Unavailable:
    return Unavailable(f"Under way for {seconds:.1f} s.")


def in_loop(test: Callable[[SingleFlight, Work], Awaitable[None]], **options: float) -> None:
    async def run() -> None:
        await test(SingleFlight(**options), Work())

    asyncio.run(asyncio.wait_for(run(), 30))


def test_concurrent_callers_share_one_run_and_the_next_caller_starts_another() -> None:
    async def test(once: SingleFlight, work: Work) -> None:
        runs = [once.run("a", work, timeout_seconds=None, why=why) for _ in range(3)]
        waiting = asyncio.gather(*runs)
        await asyncio.sleep(0)
        work.go_on.set()
        assert await waiting == [1, 1, 1]
        assert await once.run("a", work, timeout_seconds=None, why=why) == 2
        assert await once.run("b", work, timeout_seconds=None, why=why) == 3

    in_loop(test)


def test_a_caller_that_timed_out_finds_the_result_later() -> None:
    async def test(once: SingleFlight, work: Work) -> None:
        for _ in range(2):
            with pytest.raises(Unavailable, match="Under way"):
                await once.run("a", work, timeout_seconds=0.01, why=why)
        work.go_on.set()
        assert await once.run("a", work, timeout_seconds=5, why=why) == 1

    in_loop(test)


def test_a_failure_without_a_caller_is_raised_for_the_next_one() -> None:
    async def test(once: SingleFlight, work: Work) -> None:
        async def fail() -> int:
            await work()
            raise CorruptArtefact("The bytes differ.")

        with pytest.raises(Unavailable):
            await once.run("a", fail, timeout_seconds=0.01, why=why)
        work.go_on.set()
        await asyncio.sleep(0.05)
        with pytest.raises(CorruptArtefact):
            await once.run("a", fail, timeout_seconds=5, why=why)
        assert work.begun == 1
        with pytest.raises(CorruptArtefact):
            await once.run("a", fail, timeout_seconds=5, why=why)
        assert work.begun == 2

    in_loop(test)


def test_work_that_was_abandoned_begins_anew_for_the_next_caller() -> None:
    async def test(once: SingleFlight, work: Work) -> None:
        async def give_up() -> int:
            await work()
            raise Abandoned("Nobody waits for this any more.")

        with pytest.raises(Unavailable, match="Under way"):
            await once.run("a", give_up, timeout_seconds=0.01, why=why)
        work.go_on.set()
        await asyncio.sleep(0.05)
        assert await once.run("a", work, timeout_seconds=5, why=why) == 2

    in_loop(test)


def test_unclaimed_results_are_dropped() -> None:
    async def test(once: SingleFlight, work: Work) -> None:
        work.go_on.set()
        leaving = asyncio.create_task(once.run("a", work, timeout_seconds=None, why=why))
        await asyncio.sleep(0)
        leaving.cancel()
        while once._tasks:
            await asyncio.sleep(0.005)

    in_loop(test, kept_seconds=0.01)
