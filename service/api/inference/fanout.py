"""Merges several generation requests into one stream of events."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import GenerationEvent, GenerationRequest
from service.api.inference.engine import Generator

_BUFFERED_EVENTS = 256
"""Bounds memory: a slow reader slows down its engines instead."""
_STALL_SECONDS = 60.0


async def generate_all(
    engine: Generator, requests: Sequence[GenerationRequest], *, stall_seconds: float = _STALL_SECONDS
) -> AsyncGenerator[tuple[int, GenerationEvent]]:
    """Yields events with the index of their request, as they arrive. The first error ends the stream; closing
    the generator cancels all requests.

    If the buffer is full and the reader takes no event for `stall_seconds`, the requests are cancelled
    because they hold places at the engine. The reader then gets InvalidRequest (`reader_too_slow`)."""
    queue: asyncio.Queue[tuple[int, GenerationEvent] | BaseException | None] = asyncio.Queue(_BUFFERED_EVENTS)

    async def put(item: tuple[int, GenerationEvent]) -> None:
        if not queue.full():
            queue.put_nowait(item)
            return
        try:
            async with asyncio.timeout(stall_seconds):
                await queue.put(item)
        except TimeoutError as error:
            raise _too_slow(stall_seconds) from error

    async def forward(index: int, request: GenerationRequest) -> None:
        try:
            async with aclosing(engine.generate(request)) as events:
                async for event in events:
                    await put((index, event))
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    tasks = [asyncio.create_task(forward(index, request)) for index, request in enumerate(requests)]
    try:
        running = len(tasks)
        while running:
            item = await queue.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        # The connections to the engines must be closed even if the reader itself is cancelled.
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)


def _too_slow(seconds: float) -> InvalidRequest:
    return InvalidRequest(
        f"The answer was cancelled: the client has read nothing for {seconds:g} s.", code="reader_too_slow"
    )
