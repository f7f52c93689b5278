"""Groups the items of a fast stream into chunks, because each write on the way has a fixed cost."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def in_chunks(
    items: AsyncGenerator[T, None], *, interval_seconds: Callable[[], float]
) -> AsyncGenerator[list[T], None]:
    """Yields the items in order, in lists. An item is sent at once if it opens the stream, comes right after
    the opening, or follows a silence of `interval_seconds`. Other items are collected until that time has
    passed since the last list. `interval_seconds` is called anew for each list. The last items do not wait.

    Raises what `items` raises, after the items before it. Closing this generator closes `items`.
    """
    loop = asyncio.get_running_loop()
    waiting: list[T] = []
    has_come = asyncio.Event()

    async def pump() -> None:
        try:
            async with aclosing(items):
                async for item in items:
                    waiting.append(item)
                    has_come.set()
        finally:
            has_come.set()

    pumping = loop.create_task(pump())
    sent_at = -math.inf
    is_open = False
    try:
        while True:
            await has_come.wait()
            left = sent_at + interval_seconds() - loop.time()
            if left > 0 and not pumping.done():
                await asyncio.wait([pumping], timeout=left)
            has_come.clear()
            if waiting:
                chunk, waiting[:] = waiting[:], []
                # An opening without text must not delay the first text.
                sent_at = loop.time() if is_open else -math.inf
                is_open = True
                yield chunk
            if pumping.done() and not waiting:
                pumping.result()
                return
    finally:
        pumping.cancel()
        # `await pumping` would swallow a cancellation of this task and interrupt the cleanup of `items`.
        await asyncio.wait([pumping])
        if not pumping.cancelled():
            pumping.exception()
