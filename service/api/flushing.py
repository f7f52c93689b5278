"""Periodically writes what a process has counted in memory to the database."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from cluster.contracts.errors import Unavailable

log = logging.getLogger(__name__)


@asynccontextmanager
async def flushing(
    flush: Callable[[], Awaitable[None]],
    every_seconds: float,
    what: str,
    *,
    note_failure: Callable[[str], None] = lambda what: None,
) -> AsyncIterator[None]:
    """Calls `flush` in the background while the block runs, and once more at its end. A failure is logged
    with `what`, which names the data; requests continue to be served, and the next round tries again.
    `note_failure` counts the failure, unless only the database does not answer: another metric reports
    that."""
    is_closing = asyncio.Event()

    async def flush_or_log() -> None:
        try:
            await flush()
        except Exception as error:
            log.exception("cannot write %s", what)
            if not isinstance(error, Unavailable):
                note_failure(what)

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
