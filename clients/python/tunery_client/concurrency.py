"""What the asynchronous and the synchronous client do differently, beside `await`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")


async def sleep_async(seconds: float) -> None:
    await asyncio.sleep(seconds)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


async def in_thread(function: Callable[[Item], Result], item: Item) -> Result:
    """Calls what waits for a disk, without blocking the event loop."""
    return await asyncio.to_thread(function, item)


def in_place(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


async def each_async(
    function: Callable[[Item], Awaitable[Result]], items: Iterable[Item], *, at_once: int
) -> list[Result]:
    """The results for all items, in their order. The first failure cancels the others and is raised."""
    turns = asyncio.Semaphore(at_once)

    async def one(item: Item) -> Result:
        async with turns:
            return await function(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def each(function: Callable[[Item], Result], items: Iterable[Item], *, at_once: int) -> list[Result]:
    """`each_async` in threads. After a failure or Ctrl-C no other item is begun, and those begun
    are waited for."""
    failures: list[BaseException] = []

    def one(item: Item) -> Result | None:
        if failures:
            return None
        try:
            return function(item)
        except BaseException as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(at_once) as pool:
        try:
            futures = [pool.submit(one, item) for item in items]
            wait(futures)
        except BaseException as error:
            # Ctrl-C reaches this thread only, which then waits for those of the pool.
            failures.append(error)
            raise
    if failures:
        raise failures[0]
    return [cast("Result", future.result()) for future in futures]
