"""Limits how long a caller waits for a model, and defines the errors that it then gets."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from cluster.contracts.errors import Unavailable
from cluster.contracts.generation import ModelRef

T = TypeVar("T")

_LONGEST_RETRY_SECONDS = 60.0
_RETRY_SECONDS = 10.0
"""Used if it is not known how long loading takes."""


class LoadTimer(Generic[T]):
    """A loader that records when each load began and how long the last one took."""

    def __init__(
        self, load: Callable[[ModelRef], Awaitable[T]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._clock = clock
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        """Seconds by weights, for the last successful load."""

    async def __call__(self, model: ModelRef) -> T:
        began = self._began[model.weights] = self._clock()
        try:
            loaded = await self._load(model)
        finally:
            # Missing if another load of the same weights, for another application, has ended.
            self._began.pop(model.weights, None)
        self._took[model.weights] = self._clock() - began
        return loaded

    def not_ready(self, model: ModelRef, waited_seconds: float) -> Unavailable:
        """Returns the error for a caller that has waited `waited_seconds` for the model."""
        began, took = self._began.get(model.weights), self._took.get(model.weights)
        if began is None:
            return not_ready(model, waited_seconds)
        since = self._clock() - began
        message = f"{model.base.alias} has been loading for {since:.0f} s"
        left = _RETRY_SECONDS
        if took is not None:
            message += f"; loading it took {took:.0f} s last time"
            left = took - since
        seconds = min(max(1.0, left), _LONGEST_RETRY_SECONDS)
        return Unavailable(
            f"{message}. Try again in {seconds:.0f} s.", retry_after_seconds=seconds, code="model_not_ready"
        )


def not_ready(model: ModelRef, waited_seconds: float) -> Unavailable:
    return Unavailable(
        f"{model.base.alias} has not answered within {waited_seconds:.0f} s: it is waiting for room in "
        "memory, for weights from storage, or for its turn. Try again later.",
        retry_after_seconds=_RETRY_SECONDS,
        code="model_not_ready",
    )


@asynccontextmanager
async def time_limit(seconds: float | None, why: Callable[[float], Unavailable]) -> AsyncIterator[None]:
    """Cancels the block after `seconds` (None: never) and raises `why(seconds)`."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if seconds is None or not limit.expired():
            raise
        raise why(seconds) from error
