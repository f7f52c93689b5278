"""A request waits for a model no longer than its load timeout, and the error says why."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from cluster.contracts.errors import Unavailable
from cluster.contracts.generation import ModelRef
from cluster.serving.residency.load_timeout import LoadTimer, not_ready, time_limit
from tests.api import BASE

pytestmark = pytest.mark.anyio

MODEL = ModelRef(base=BASE)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def while_loading(
    clock: Clock, loaded: LoadTimer[str], release: asyncio.Event
) -> Callable[[], Awaitable[tuple[Unavailable, float]]]:
    async def load_once() -> tuple[Unavailable, float]:
        release.clear()
        loading = asyncio.ensure_future(loaded(MODEL))
        await asyncio.sleep(0)
        clock.seconds += 12
        early = loaded.not_ready(MODEL, 5)
        clock.seconds += 30
        late = loaded.not_ready(MODEL, 5)
        release.set()
        await loading
        return early, late.retry_after_seconds

    return load_once


async def test_the_error_says_how_long_loading_takes_and_when_to_retry() -> None:
    clock, release = Clock(), asyncio.Event()

    async def load(model: ModelRef) -> str:
        await release.wait()
        return model.base.alias

    loaded = LoadTimer(load, clock=clock)
    load_once = while_loading(clock, loaded, release)
    first, _ = await load_once()
    assert first.message == f"{BASE.alias} has been loading for 12 s. Try again in 10 s."
    second, late_seconds = await load_once()
    assert second.message == (
        f"{BASE.alias} has been loading for 12 s; loading it took 42 s last time. Try again in 30 s."
    )
    assert (second.retry_after_seconds, second.code) == (30, "model_not_ready")
    assert late_seconds == 1
    assert "has not answered within 5 s" in loaded.not_ready(MODEL, 5).message


async def test_a_load_that_failed_does_not_say_how_long_loading_takes() -> None:
    async def load(model: ModelRef) -> str:
        raise Unavailable("storage is away")

    loaded = LoadTimer(load)
    with pytest.raises(Unavailable, match="storage is away"):
        await loaded(MODEL)
    assert "the last time" not in loaded.not_ready(MODEL, 1).message


async def test_two_loads_of_the_same_weights_may_overlap() -> None:
    async def load(model: ModelRef) -> str:
        await asyncio.sleep(0)
        return model.base.alias

    loaded = LoadTimer(load)
    assert await asyncio.gather(loaded(MODEL), loaded(MODEL)) == [BASE.alias] * 2


async def test_the_load_timeout_covers_only_its_own_block_and_other_timeouts_pass_through() -> None:
    with pytest.raises(Unavailable, match=r"within 0 s"):
        async with time_limit(0.01, partial(not_ready, MODEL)):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError, match="storage"):
        async with time_limit(60, partial(not_ready, MODEL)):
            raise TimeoutError("storage")
    async with time_limit(None, partial(not_ready, MODEL)):
        await asyncio.sleep(0)
