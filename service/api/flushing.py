"""Writes what a process has counted in memory to the database, now and then."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)


@asynccontextmanager
async def flushing(
    flush: Callable[[], Awaitable[None]], every_seconds: float, what: str
) -> AsyncIterator[None]:
    """Calls `flush` in the background while the block runs, and once more at its end. A failure is logged
    with `what` could not be written; requests continue to be served, and the next round tries again."""
    is_closing = asyncio.Event()

    async def flush_or_log() -> None:
        try:
            await flush()
        except Exception:
            log.exception("cannot write %s", what)

    async def flush_until_closed() -> None:
        while not is_closing.is_set():
            try:
                async with asyncio.timeout(every_seconds):
                    await is_closing.wait()
            except TimeoutError:
                await flush_or_log()

    task = asyncio.create_task(flush_until_closed())
    try:
        yield
    finally:
        is_closing.set()
        await task
        await flush_or_log()
