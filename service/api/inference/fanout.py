"""Several generation requests as one stream of events."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import GenerationEvent, GenerationRequest
from service.api.inference.engine import Generator

_BUFFERED_EVENTS = 256
"""A slow reader holds its engines back instead of filling memory."""
_STALL_SECONDS = 60.0


async def generate_all(
    engine: Generator, requests: Sequence[GenerationRequest], *, stall_seconds: float = _STALL_SECONDS
) -> AsyncGenerator[tuple[int, GenerationEvent]]:
    """Events with the index of their request, as they come. The first error ends all; closing cancels all.

    A request whose events nobody takes for `stall_seconds`, with the buffer full, is cancelled, since it
    holds a place at the engine; its reader then finds InvalidRequest (`reader_too_slow`)."""
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
        # The reader's own cancellation must not keep the engines' connections from being closed.
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)


def _too_slow(seconds: float) -> InvalidRequest:
    return InvalidRequest(
        f"The answer was broken off: nothing of it was read for {seconds:g} s.", code="reader_too_slow"
    )
