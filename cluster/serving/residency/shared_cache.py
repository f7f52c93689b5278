"""One cache for all models of a replica, of any kind: loaded on demand, unloaded when idle."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar, cast

from cluster.serving.residency import memory
from cluster.serving.residency.model_cache import ModelCache


class CachedModel(Protocol):
    @property
    def num_bytes(self) -> int:
        """Device memory that the model may use at most."""
        ...

    async def close(self) -> None:
        """Frees all of the model's memory."""
        ...


SharedCache = ModelCache[CachedModel]

R = TypeVar("R", bound=CachedModel)


def shared_cache(
    *,
    capacity: int,
    max_waiting: int = 256,
    budget: int | None = None,
    wait_seconds: float | None = 60.0,
    idle_seconds: float | None = None,
) -> SharedCache:
    """Makes a cache of at most `capacity` models, which may use `budget` bytes together."""
    return ModelCache(
        capacity=capacity,
        max_waiting=max_waiting,
        unload=_unload,
        budget=budget,
        num_bytes=lambda resident: resident.num_bytes,
        wait_seconds=wait_seconds,
        idle_seconds=idle_seconds,
        setting="TUNERY_ENGINE_BYTES",
    )


class CacheView(Generic[R]):
    """The models of one kind in a shared cache, by the name of their weights."""

    def __init__(self, kind: str, cache: SharedCache) -> None:
        self._prefix = f"{kind} "
        self._cache = cache

    def __contains__(self, weights: str) -> bool:
        return self._prefix + weights in self._cache

    @property
    def loaded(self) -> dict[str, R]:
        return {
            key.removeprefix(self._prefix): cast(R, resident)
            for key, resident in self._cache.loaded.items()
            if key.startswith(self._prefix)
        }

    def load_seconds(self, weights: str) -> float:
        return self._cache.load_seconds(self._prefix + weights)

    async def acquire(self, weights: str, load: Callable[[], Awaitable[R]], *, expects_bytes: int) -> R:
        """Like ModelCache.acquire. A failed load frees its memory before the error is raised."""

        async def load_or_free() -> R:
            try:
                return await load()
            except Exception as error:
                _forget_locals(error)
                await asyncio.to_thread(memory.release_unused)
                raise

        key = self._prefix + weights
        return cast(R, await self._cache.acquire(key, load_or_free, expects_bytes=expects_bytes))

    def pin(self, weights: str) -> None:
        self._cache.pin(self._prefix + weights)

    def release(self, weights: str) -> None:
        self._cache.release(self._prefix + weights)

    async def close(self) -> None:
        """Closes the whole cache, including models of other kinds."""
        await self._cache.close()


def _forget_locals(error: BaseException | None) -> None:
    """Clears the local variables in the error's traceback, because they may refer to weights."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


async def _unload(resident: CachedModel) -> None:
    await resident.close()
    await asyncio.to_thread(memory.release_unused)
