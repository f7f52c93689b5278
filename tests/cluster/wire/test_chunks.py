"""What comes close together travels together, and nothing waits longer than the pace."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from cluster.wire.chunks import in_chunks

pytestmark = pytest.mark.anyio

_FOR_EVER = 3600.0


async def test_the_first_two_go_at_once_and_what_follows_within_the_pace_together_with_the_end() -> None:
    taken = asyncio.Semaphore(1)

    async def items() -> AsyncGenerator[int, None]:
        for item in (1, 2):
            await taken.acquire()
            yield item
        await taken.acquire()
        for item in (3, 4, 5):
            await asyncio.sleep(0)
            yield item

    found = []
    async for chunk in in_chunks(items(), interval_seconds=lambda: _FOR_EVER):
        found.append(chunk)
        taken.release()
    assert found == [[1], [2], [3, 4, 5]]


async def test_after_a_silence_each_item_goes_at_once() -> None:
    taken = asyncio.Semaphore(1)

    async def items() -> AsyncGenerator[int, None]:
        for item in range(5):
            await taken.acquire()
            yield item

    found = []
    async for chunk in in_chunks(items(), interval_seconds=lambda: 0):
        found.append(chunk)
        taken.release()
    assert found == [[item] for item in range(5)]


async def test_an_error_comes_after_the_items_before_it() -> None:
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        raise KeyError("lost")

    chunks = in_chunks(items(), interval_seconds=lambda: _FOR_EVER)
    assert await anext(chunks) == [1, 2]
    with pytest.raises(KeyError, match="lost"):
        await anext(chunks)


async def test_closing_closes_the_items_wherever_they_are() -> None:
    is_closed = asyncio.Event()

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            is_closed.set()

    async with aclosing(in_chunks(items(), interval_seconds=lambda: _FOR_EVER)) as chunks:
        assert await anext(chunks) == [1]
    assert is_closed.is_set()


async def test_a_reader_that_is_cancelled_while_it_closes_stops_and_the_source_still_ends_in_order() -> None:
    may_end, is_ending, has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await may_end.wait()
            has_ended.set()

    async def read() -> None:
        async with aclosing(in_chunks(items(), interval_seconds=lambda: 0)) as chunks:
            await anext(chunks)
        raise AssertionError("it was cancelled before")

    reading = asyncio.create_task(read())
    await is_ending.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    may_end.set()
    async with asyncio.timeout(30):
        await has_ended.wait()
