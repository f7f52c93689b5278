"""All engines of one replica: one for each base, and for each full fine-tune, loaded on demand."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import (
    EngineStats,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    adapted_name,
)
from cluster.serving.engine import Engine
from cluster.serving.loans import Loans

LoadEngine = Callable[[ModelRef], Awaitable[Engine]]


class EnginePool:
    """Sends each request to the engine of its base. Behaves as an Engine does, for any number of bases.

    At most `capacity` models are in memory. One in use is never unloaded, nor is one that was kept.
    """

    def __init__(self, load: LoadEngine, *, capacity: int, max_waiting: int = 256) -> None:
        self._load = load
        self._engines: Loans[Engine] = Loans(capacity=capacity, max_waiting=max_waiting, drop=self._retire)
        self._retiring: set[asyncio.Task[None]] = set()
        self._under_way: dict[str, Engine | None] = {}
        """By request; None while its engine is being loaded."""
        self._cancelled: set[str] = set()

    async def keep(self, model: ModelRef) -> None:
        """Loads the engine of `model` and never unloads it."""
        await self._borrow(model)

    async def ensure(self, model: ModelRef) -> None:
        engine = await self._borrow(model)
        try:
            await engine.ensure(model)
        finally:
            self._engines.give_back(model.weights)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        if request.id in self._under_way:
            raise InvalidRequest(f"Request {request.id} is under way already.", param="id")
        self._under_way[request.id] = None
        try:
            engine = await self._borrow(request.model)
            try:
                if request.id in self._cancelled:
                    return
                self._under_way[request.id] = engine
                async with aclosing(engine.generate(request)) as events:
                    async for event in events:
                        yield event
            finally:
                self._engines.give_back(request.model.weights)
        finally:
            del self._under_way[request.id]
            self._cancelled.discard(request.id)

    async def cancel(self, request_id: str) -> None:
        if request_id not in self._under_way:
            return
        if engine := self._under_way[request_id]:
            await engine.cancel(request_id)
        else:
            self._cancelled.add(request_id)

    async def stats(self) -> list[EngineStats]:
        return [await engine.stats() for engine in self._engines.loaded.values()]

    async def names(self) -> list[str]:
        """Of the weights in memory, and of the adapters on each."""
        names = []
        for weights, engine in self._engines.loaded.items():
            adapters = (await engine.stats()).adapters
            names += [weights, *(adapted_name(weights, digest) for digest in adapters)]
        return names

    async def close(self) -> None:
        await self._engines.close()
        await asyncio.gather(*self._retiring)

    async def _borrow(self, model: ModelRef) -> Engine:
        return await self._engines.borrow(model.weights, functools.partial(self._loaded, model))

    async def _loaded(self, model: ModelRef) -> Engine:
        return await self._load(model)

    def _retire(self, engine: Engine) -> None:
        task = asyncio.get_running_loop().create_task(engine.close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
