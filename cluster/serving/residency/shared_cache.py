"""The models of a replica, of every kind, in one memory: loaded on demand, unloaded when idle."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar, cast

from cluster.serving.residency import memory
from cluster.serving.residency.model_cache import ModelCache


class CachedModel(Protocol):
    @property
    def num_bytes(self) -> int:
        """Of the device's memory, that it may come to take."""
        ...

    async def close(self) -> None:
        """Lets go of all of it."""
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
    """For at most `capacity` models, which may take `budget` bytes together."""
    return ModelCache(
        capacity=capacity,
        max_waiting=max_waiting,
        drop=_unload,
        budget=budget,
        num_bytes=lambda resident: resident.num_bytes,
        wait_seconds=wait_seconds,
        idle_seconds=idle_seconds,
        setting="TUNERY_ENGINE_BYTES",
    )


class CacheView(Generic[R]):
    """Those of one kind, by the name of their weights."""

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
        """As ModelCache does. A load that fails gives its memory back before anybody hears of it."""

        async def load_or_give_back() -> R:
            try:
                return await load()
            except Exception as error:
                _forget_locals(error)
                await asyncio.to_thread(memory.release_unused)
                raise

        key = self._prefix + weights
        return cast(R, await self._cache.acquire(key, load_or_give_back, expects_bytes=expects_bytes))

    def pin(self, weights: str) -> None:
        self._cache.pin(self._prefix + weights)

    def release(self, weights: str) -> None:
        self._cache.release(self._prefix + weights)

    async def close(self) -> None:
        """The whole memory, with what else is in it."""
        await self._cache.close()


def _forget_locals(error: BaseException | None) -> None:
    """Of the functions that it came through: weights may be among them, and its traceback keeps them."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


async def _unload(resident: CachedModel) -> None:
    await resident.close()
    await asyncio.to_thread(memory.release_unused)
