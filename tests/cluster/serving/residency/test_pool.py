import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from pathlib import Path

import pytest

from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.errors import CorruptArtefact, InvalidRequest, NotFound, Unavailable
from cluster.contracts.generation import (
    EngineStats,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    TextPrompt,
)
from cluster.contracts.weights import WeightsRef
from cluster.serving.residency.load_timeout import time_limit
from cluster.serving.residency.pool import EnginePool
from cluster.serving.residency.shared_cache import CacheView, shared_cache
from cluster.wire.codec import encode_error, encode_headers, encode_status

pytestmark = pytest.mark.anyio


class FakeEngine:
    """Answers with its model's name once its gate is open."""

    def __init__(self, model: ModelRef) -> None:
        self.model = model
        self.gate = asyncio.Event()
        self.gate.set()
        self.ensured: list[ModelRef] = []
        self.may_ensure = asyncio.Event()
        self.may_ensure.set()
        self.closed = asyncio.Event()

    num_bytes = 1

    async def ensure(self, model: ModelRef) -> None:
        self.ensured.append(model)
        await self.may_ensure.wait()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield PromptEvent(prompt_tokens=1, text=self.model.base.alias)
        await self.gate.wait()

    async def stats(self) -> EngineStats:
        return EngineStats(
            base=self.model.base.alias, running=0, waiting=0, slots=1, adapters=[], generated_tokens=0
        )

    async def close(self) -> None:
        self.closed.set()


class Factory:
    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []

    async def __call__(self, model: ModelRef) -> FakeEngine:
        self.engines.append(FakeEngine(model))
        return self.engines[-1]

    async def expected_bytes(self, model: ModelRef) -> int:
        return 1


def _model(alias: str, adapter: WeightsRef | None = None) -> ModelRef:
    base = BaseSpec(
        alias=alias, source=FolderSource(path=str(Path("x"))), context_length=8, learning_rates={"lora": 1.0}
    )
    return ModelRef(base=base, adapter=adapter)


def _request(model: ModelRef, id_: str = "r") -> GenerationRequest:
    return GenerationRequest(id=id_, model=model, prompt=TextPrompt(text="x"))


LORA = WeightsRef(digest="1", manifest_key="m")
FULL = WeightsRef(digest="2", manifest_key="m", form="full")


async def test_each_base_and_each_full_model_has_one_engine_and_adapters_share_their_bases() -> None:
    factory = Factory()
    pool = EnginePool(factory, shared_cache(capacity=4))
    for model in (_model("a"), _model("a", LORA), _model("b"), _model("a", FULL)):
        events = [event async for event in pool.generate(_request(model))]
        assert [event.text for event in events if event.type == "prompt"] == [model.base.alias]
    await pool.ensure(_model("a", LORA))
    assert [engine.model for engine in factory.engines] == [_model("a"), _model("b"), _model("a", FULL)]
    assert factory.engines[0].ensured == [_model("a", LORA)]
    assert [stats.base for stats in await pool.stats()] == ["b", "a", "a"], "least recently used first"


async def test_an_idle_model_is_closed_to_make_room_and_a_pinned_one_never() -> None:
    factory = Factory()
    pool = EnginePool(factory, shared_cache(capacity=2))
    await pool.pin(_model("kept"))
    await pool.ensure(_model("a"))
    await pool.ensure(_model("b"))
    await asyncio.sleep(0)
    assert [engine.closed.is_set() for engine in factory.engines] == [False, True, False]
    await pool.close()
    assert all(engine.closed.is_set() for engine in factory.engines)
    with pytest.raises(Unavailable):
        await pool.ensure(_model("kept"))


async def test_an_idle_model_is_unloaded_after_a_while_and_a_pinned_one_never() -> None:
    factory = Factory()
    pool = EnginePool(factory, shared_cache(capacity=4, idle_seconds=0.01))
    await pool.pin(_model("kept"))
    await pool.ensure(_model("a"))
    async with asyncio.timeout(30):
        await factory.engines[1].closed.wait()
    assert [stats.base for stats in await pool.stats()] == ["kept"]
    await pool.ensure(_model("a"))
    assert [engine.model for engine in factory.engines] == [_model("kept"), _model("a"), _model("a")]


async def test_models_of_other_kinds_share_the_memory() -> None:
    factory = Factory()
    memory = shared_cache(capacity=4, budget=2)
    pool = EnginePool(factory, memory)
    others: CacheView[FakeEngine] = CacheView("other", memory)

    async def load() -> FakeEngine:
        return FakeEngine(_model("other"))

    await pool.ensure(_model("a"))
    other = await others.acquire(_model("a").weights, load, expects_bytes=1)
    assert other is not factory.engines[0], "kinds are kept apart, whatever their weights are called"
    await pool.ensure(_model("b"))
    assert factory.engines[0].closed.is_set()
    others.release(_model("a").weights)
    await pool.ensure(_model("b"))
    await pool.ensure(_model("c"))
    assert other.closed.is_set()
    assert len(await pool.stats()) == 2


class Weights:
    """In a reference cycle, as models are, so that only garbage collection frees it."""

    def __init__(self) -> None:
        self.own = self


async def test_a_failed_load_frees_its_memory_at_once() -> None:
    left: list[weakref.ref[Weights]] = []

    def read() -> None:
        weights = Weights()
        left.append(weakref.ref(weights))
        try:
            raise NotFound("half of the weights")
        except NotFound as error:
            raise CorruptArtefact("cannot be read") from error

    async def load() -> FakeEngine:
        await asyncio.to_thread(read)
        raise AssertionError("read raises")

    residents: CacheView[FakeEngine] = CacheView("other", shared_cache(capacity=1))
    gc.disable()
    try:
        with pytest.raises(CorruptArtefact) as caught:
            await residents.acquire("a", load, expects_bytes=1)
        assert left[0]() is None, "the error keeps nothing of what was read in memory"
    finally:
        gc.enable()
    assert isinstance(caught.value.__cause__, NotFound)


async def test_a_loaded_engine_is_not_evicted_before_its_request_generates() -> None:
    factory = Factory()
    pool = EnginePool(factory, shared_cache(capacity=1))
    await pool.ensure(_model("a"))
    engine = factory.engines[0]
    engine.may_ensure.clear()
    engine.gate.clear()
    events = pool.generate(_request(_model("a")), load_limit=nullcontext())
    first = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    # Waits for the only place in memory, which is free as soon as nothing uses the engine.
    other = asyncio.create_task(pool.ensure(_model("b")))
    await asyncio.sleep(0)
    engine.may_ensure.set()
    assert (await first).type == "prompt"
    assert not other.done()
    assert not engine.closed.is_set()
    engine.gate.set()
    assert [event async for event in events] == []
    await other
    assert [engine.model for engine in factory.engines] == [_model("a"), _model("b")]


async def test_loading_ends_at_its_limit_and_releases_the_engine() -> None:
    factory = Factory()
    pool = EnginePool(factory, shared_cache(capacity=1))
    await pool.ensure(_model("a"))
    factory.engines[0].may_ensure.clear()
    limit = time_limit(0.01, lambda seconds: Unavailable("too long"))
    with pytest.raises(Unavailable, match="too long"):
        await anext(pool.generate(_request(_model("a")), load_limit=limit))
    await pool.ensure(_model("b"))
    assert factory.engines[0].closed.is_set(), "the engine was released"


async def test_an_id_is_refused_while_another_request_has_it() -> None:
    factory = Factory()
    pool = EnginePool(factory, shared_cache(capacity=1))
    await pool.ensure(_model("a"))
    factory.engines[0].gate.clear()
    async with aclosing(pool.generate(_request(_model("a")))) as events:
        await anext(events)
        with pytest.raises(InvalidRequest, match="under way"):
            await anext(pool.generate(_request(_model("a"))))
    factory.engines[0].gate.set()
    assert [event.type async for event in pool.generate(_request(_model("a")))] == ["prompt"]


def test_errors_travel_by_their_nearest_known_name() -> None:
    error = Unavailable("later", retry_after_seconds=2.6)
    assert (encode_error(error).error, encode_status(error), encode_headers(error)) == (
        "Unavailable",
        503,
        {"Retry-After": "3"},
    )
    assert encode_status(ValueError()) == 500
