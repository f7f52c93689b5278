"""The items of a fast stream in fewer pieces, each of which has a price of its own on the way."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def in_chunks(items: AsyncGenerator[T, None], *, pace_seconds: float) -> AsyncGenerator[list[T], None]:
    """The items in order: what opens the stream and what follows it at once, and what comes after a silence
    of `pace_seconds`; the others together when so much time has passed since the last list, and the last ones
    without waiting.

    Raises what `items` raises, after what came before; closing closes them.
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
            left = sent_at + pace_seconds - loop.time()
            if left > 0 and not pumping.done():
                await asyncio.wait([pumping], timeout=left)
            has_come.clear()
            if waiting:
                chunk, waiting[:] = waiting[:], []
                # An opening that has no text of its own must not keep the first one back.
                sent_at = loop.time() if is_open else -math.inf
                is_open = True
                yield chunk
            if pumping.done() and not waiting:
                pumping.result()
                return
    finally:
        pumping.cancel()
        # Not awaited itself: whoever is cancelled meanwhile would cut the end of `items` off, and go on.
        await asyncio.wait([pumping])
        if not pumping.cancelled():
            pumping.exception()
