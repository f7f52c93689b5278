"""Waiting for a turn at the engine: rejected, admitted, cancelled, timed out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.contracts.errors import Overloaded, Unavailable
from service.api.inference.admission import AdmissionQueue
from service.api.inference.fair_queue import QueueLimits

pytestmark = pytest.mark.anyio

LIMITS = QueueLimits(max_running=2, max_waiting_per_tenant=3, max_waiting=5)


class Visit:
    """One request, which stays at the engine until it is told to leave."""

    def __init__(self, admission: AdmissionQueue, tenant: str) -> None:
        self.entered = asyncio.Event()
        self.may_leave = asyncio.Event()
        self._admission, self._tenant = admission, tenant
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._admission.turn(self._tenant, 1) as turn:
            self.entered.set()
            await self.may_leave.wait()
            self._admission.charge(turn, 100.0)

    async def leave(self) -> None:
        self.may_leave.set()
        await self.task


async def visits(admission: AdmissionQueue, tenant: str, count: int) -> list[Visit]:
    made = [Visit(admission, tenant) for _ in range(count)]
    await settled()
    return made


async def settled() -> None:
    """Returns when everything that can run without another event has run."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def queue(**options: Any) -> AsyncIterator[AdmissionQueue]:
    async with asyncio.timeout(30):
        yield AdmissionQueue(LIMITS, **{"wait_seconds": 60.0, **options})


async def test_a_quiet_tenant_waits_for_a_running_request_and_not_for_the_floods_queue() -> None:
    async with queue() as admission:
        flood = await visits(admission, "flood", 5)
        assert [visit.entered.is_set() for visit in flood] == [True, True, False, False, False]
        (quiet,) = await visits(admission, "quiet", 1)
        assert not quiet.entered.is_set()
        await flood[0].leave()
        await quiet.entered.wait()
        assert not flood[2].entered.is_set()
        for visit in [quiet, *flood[1:]]:
            await visit.leave()
        await admission.wait_until_empty()


async def test_a_full_queue_names_the_limit_and_when_to_retry() -> None:
    now = 0.0

    async with queue(clock=lambda: now) as admission:
        (first,) = await visits(admission, "a", 1)
        now = 8.0
        await first.leave()  # eight seconds: two slots serve one each in four
        # Kept, or the garbage collector could end them.
        here = await visits(admission, "a", 5)
        with pytest.raises(Overloaded, match=r"3 of your project's .* at most 3 .* in 12 s") as refused:
            async with admission.turn("a", 1):
                pass
        assert (refused.value.retry_after_seconds, refused.value.code) == (12, "rate_limit_exceeded")
        here += await visits(admission, "b", 2)
        with pytest.raises(Overloaded, match="at most 5 of all projects may wait") as refused:
            async with admission.turn("b", 1):
                pass
        assert refused.value.retry_after_seconds == 20
        for visit in here:
            visit.task.cancel()


async def test_a_request_cancelled_while_waiting_leaves_the_queue() -> None:
    async with queue() as admission:
        one, two, gone, next_one, _ = await visits(admission, "a", 5)
        gone.task.cancel()
        await asyncio.gather(gone.task, return_exceptions=True)
        (late,) = await visits(admission, "a", 1)  # there is room again
        assert not late.task.done()
        await one.leave()
        await next_one.entered.wait()
        assert not gone.entered.is_set()
        two.task.cancel()


async def test_a_request_cancelled_as_it_is_admitted_lets_the_next_one_in() -> None:
    async with queue() as admission:
        async with admission.turn("a", 1):
            two, called, next_one = await visits(admission, "a", 3)
        called.task.cancel()  # it has been admitted, and has not run since
        await next_one.entered.wait()
        assert not called.entered.is_set()
        await next_one.leave()
        await two.leave()
        await admission.wait_until_empty()


async def test_a_request_that_fails_lets_the_next_one_in() -> None:
    async with queue() as admission:

        async def fail() -> None:
            async with admission.turn("a", 1):
                await may_fail.wait()
                raise ZeroDivisionError

        may_fail = asyncio.Event()
        failing = asyncio.create_task(fail())
        _, next_one = await visits(admission, "a", 2)
        may_fail.set()
        with pytest.raises(ZeroDivisionError):
            await failing
        await next_one.entered.wait()


async def test_a_queue_timeout_names_the_longest_wait() -> None:
    async with queue(wait_seconds=0.001) as admission:
        one, two = await visits(admission, "a", 2)
        with pytest.raises(Unavailable, match=r"waited for its turn for 0\.001 s") as late:
            async with admission.turn("b", 1):
                pass
        assert late.value.code == "queue_timeout"
        await one.leave()
        await two.leave()
        await admission.wait_until_empty()
