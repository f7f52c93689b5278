"""All engines of one replica: one per base and per full fine-tune, loaded on demand."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    nullcontext,
)
from typing import Protocol
from weakref import WeakValueDictionary

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import (
    EngineStats,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    adapted_name,
)
from cluster.serving.engine import Engine
from cluster.serving.residency.shared_cache import CacheView, SharedCache
from cluster.tracing import detached_span


class EngineLoader(Protocol):
    """Creates the engine of a model's weights. Both methods raise what loading the weights raises."""

    async def __call__(self, model: ModelRef) -> Engine: ...

    async def expected_bytes(self, model: ModelRef) -> int:
        """Estimates the engine's `num_bytes`."""
        ...


class EnginePool:
    """Sends each request to the engine of its base. Behaves like an Engine for any number of bases.

    Engines that are in use or pinned are never unloaded.
    """

    def __init__(self, load: EngineLoader, cache: SharedCache) -> None:
        """`cache` is closed with the pool."""
        self._load = load
        self._engines: CacheView[Engine] = CacheView("engine", cache)
        self._estimate_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Locks by weights, while a task needs them."""
        self._under_way: set[str] = set()
        """Ids of running requests."""

    async def pin(self, model: ModelRef) -> None:
        """Loads the engine of `model` and never unloads it."""
        await self._acquire(model)
        self._engines.pin(model.weights)

    async def ensure(self, model: ModelRef) -> None:
        async with self._acquired(model) as engine:
            await engine.ensure(model)

    async def generate(
        self,
        request: GenerationRequest,
        *,
        load_limit: AbstractAsyncContextManager[None] | None = None,
        parent: str | None = None,
    ) -> AsyncGenerator[GenerationEvent, None]:
        """Like Engine.generate. With `load_limit`, the engine and the adapter are first loaded within that
        context; the engine then stays acquired until the last event. `parent` is the `traceparent` of the
        enclosing span, if that is not already active in the caller."""
        if request.id in self._under_way:
            raise InvalidRequest(f"Request {request.id} is under way already.", param="id")
        self._under_way.add(request.id)
        try:
            async with AsyncExitStack() as stack:
                base = request.model.base.alias
                note = stack.enter_context(detached_span("generate", parent=parent, base=base))
                async with load_limit or nullcontext():
                    engine = await stack.enter_async_context(self._acquired(request.model))
                    if load_limit is not None:
                        await engine.ensure(request.model)
                note("model in memory")
                async with aclosing(engine.generate(request)) as events:
                    async for event in events:
                        yield event
        finally:
            self._under_way.remove(request.id)

    async def stats(self) -> list[EngineStats]:
        loaded = [
            (engine, self._engines.load_seconds(weights)) for weights, engine in self._engines.loaded.items()
        ]
        return [
            (await engine.stats()).model_copy(update={"load_seconds": seconds}) for engine, seconds in loaded
        ]

    async def names(self) -> list[str]:
        """Returns the names of the weights in memory, and of the adapters on each of them."""
        names = []
        for weights, engine in self._engines.loaded.items():
            adapters = (await engine.stats()).adapters
            names += [weights, *(adapted_name(weights, digest) for digest in adapters)]
        return names

    async def close(self) -> None:
        await self._engines.close()

    @asynccontextmanager
    async def _acquired(self, model: ModelRef) -> AsyncIterator[Engine]:
        engine = await self._acquire(model)
        try:
            yield engine
        finally:
            self._engines.release(model.weights)

    async def _acquire(self, model: ModelRef) -> Engine:
        async def load() -> Engine:
            return await self._load(model)

        weights = model.weights
        # The estimate reads files, so it is made only if the weights are not in memory, and not concurrently
        # for the same weights.
        async with self._estimate_locks.setdefault(weights, asyncio.Lock()):
            expects_bytes = 0 if weights in self._engines else await self._load.expected_bytes(model)
        return await self._engines.acquire(weights, load, expects_bytes=expects_bytes)
