"""Several generation requests as one stream of events."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio

from cluster.contracts.generation import GenerationEvent, GenerationRequest
from service.api.engine import Generator

_BUFFERED_EVENTS = 256
"""A slow reader holds its engines back instead of filling memory."""


async def generate_all(
    engine: Generator, requests: Sequence[GenerationRequest]
) -> AsyncGenerator[tuple[int, GenerationEvent]]:
    """Events with the index of their request, as they come. The first error ends all; closing cancels all."""
    queue: asyncio.Queue[tuple[int, GenerationEvent] | BaseException | None] = asyncio.Queue(_BUFFERED_EVENTS)

    async def forward(index: int, request: GenerationRequest) -> None:
        try:
            async with aclosing(engine.generate(request)) as events:
                async for event in events:
                    await queue.put((index, event))
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
