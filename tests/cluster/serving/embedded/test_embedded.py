"""What the embedded engine does when its model fails, which no request can cause."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
import torch
from torch import Tensor

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.errors import InvalidRequest, Unavailable
from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    Sampling,
    TextEvent,
    TextPrompt,
)
from cluster.contracts.weights import WeightsRef
from cluster.serving.embedded.engine import EmbeddedEngine
from cluster.serving.embedded.runner import Prefill
from cluster.serving.limits import EngineLimits
from cluster.serving.residency.footprint import Footprint
from cluster.serving.weights.adapter import Adapter
from tests.cluster.serving.conftest import Serve, Tuned
from tests.tiny_base import make_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

BASE = BaseSpec(alias="fake", source=FolderSource(path="-"), context_length=64, learning_rates={"lora": 1.0})


class FakeRunner:
    """Always generates token 70, and fails a given number of times."""

    num_embeddings = 352
    failures = 0

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill:
        lengths = [len(prompt) for prompt in prompts]
        return Prefill(torch.zeros(len(prompts), max(lengths)), lengths, list(adapters), None)

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("out of memory")
        prefill.done = prefill.token_ids_KT.shape[1]
        return self.decode(prefill.lengths)

    def add_row(self, prefill: Prefill, row: int) -> None: ...

    def decode(self, tokens: Sequence[int]) -> Tensor:
        return torch.eye(self.num_embeddings)[[70] * len(tokens)]

    def release(self, row: int) -> None: ...

    def clear(self) -> None: ...


def _no_adapters(ref: WeightsRef) -> Adapter:
    raise AssertionError("no adapter was requested")


def _engine(
    runner: Any, load_adapter: Callable[[WeightsRef], Adapter] = _no_adapters, **limits: int
) -> EmbeddedEngine:
    tokenizer = make_tokenizer()
    return EmbeddedEngine(
        BASE,
        runner,
        tokenizer,
        vocabulary=Vocabulary(tokenizer),
        stop_tokens=frozenset({1}),
        load_adapter=load_adapter,
        limits=EngineLimits(**limits),
        footprint=Footprint(weights=0, row=0, adapters=0),
    )


async def _ask(engine: EmbeddedEngine, id_: str = "r") -> list[GenerationEvent]:
    request = GenerationRequest(
        id=id_,
        model=ModelRef(base=BASE),
        prompt=TextPrompt(text="x"),
        sampling=Sampling(temperature=0, max_tokens=3),
    )
    return [event async for event in engine.generate(request)]


class PacedRunner(FakeRunner):
    """Runs as many steps as are allowed."""

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(2)

    def decode(self, tokens: Sequence[int]) -> Tensor:
        assert self.allowed.acquire(timeout=300)
        return super().decode(tokens)


async def _leaves_in_mid_stream() -> tuple[int, int]:
    """The tokens reported by the last event seen, and all tokens that the engine generated."""
    runner = PacedRunner()
    engine = _engine(runner)
    sampling = Sampling(temperature=0, max_tokens=50, stop=["a" * 50 + "!"])
    request = GenerationRequest(
        id="r", model=ModelRef(base=BASE), prompt=TextPrompt(text="x"), sampling=sampling
    )
    reported = 0
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextEvent):
                assert not event.text, "all of it may become the stop string"
                reported = event.completion_tokens
                if reported == 5:
                    break
                runner.allowed.release()
    runner.allowed.release(50)
    await _idle(engine)
    made = (await engine.stats()).generated_tokens
    await engine.close()
    return reported, made


async def _idle(engine: EmbeddedEngine) -> None:
    """The thread works in order, so a request sent now is answered after everything before it."""
    await _ask(engine, "last")


def test_a_closed_stream_has_missed_the_tokens_of_at_most_two_steps() -> None:
    reported, made = asyncio.run(_leaves_in_mid_stream())
    assert reported == 5
    assert made - 3 - reported <= 2


async def test_the_adapter_of_a_closed_stream_stays_until_the_engines_thread_has_released_it() -> None:
    runner = PacedRunner()
    loaded: list[str] = []

    def load(ref: WeightsRef) -> Adapter:
        loaded.append(ref.digest)
        return Adapter(ref.digest)

    engine = _engine(runner, load, adapters=1)
    first, second = (
        ModelRef(base=BASE, adapter=WeightsRef(digest=digest, manifest_key="-")) for digest in "ab"
    )
    sampling = Sampling(temperature=0, max_tokens=50)
    request = GenerationRequest(id="r", model=first, prompt=TextPrompt(text="x"), sampling=sampling)
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            # The thread continues to a step that waits for the test.
            if isinstance(event, TextEvent) and event.completion_tokens == 2:
                break
    waiting = asyncio.create_task(engine.ensure(second))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await engine.stats()).adapters == ["a"]
    runner.allowed.release(50)
    await waiting
    assert loaded == ["a", "b"]
    assert (await engine.stats()).adapters == ["b"]
    await engine.close()


async def test_a_failed_step_ends_its_requests_and_the_engine_goes_on() -> None:
    runner = FakeRunner()
    runner.failures = 1
    engine = _engine(runner)
    with pytest.raises(Unavailable, match="try again"):
        await _ask(engine)
    assert (await _ask(engine))[-1] == FinishEvent(index=0, reason="length", completion_tokens=3)
    assert (await engine.stats()).running == 0
    await engine.close()


async def test_an_engine_with_repeated_failures_reports_that_it_is_broken() -> None:
    runner = FakeRunner()
    runner.failures = 3
    engine = _engine(runner)
    for _ in range(3):
        await engine.stats()
        with pytest.raises(Unavailable, match="try again"):
            await _ask(engine)
    with pytest.raises(Unavailable, match="broken"):
        await _ask(engine)
    with pytest.raises(Unavailable, match="broken"):
        await engine.stats()
    await engine.close()


@pytest.mark.parametrize("serve", ["embedded"], indirect=True)
def test_an_adapter_that_is_larger_than_the_budget_is_refused(serve: Serve, tuned: Tuned) -> None:
    served = serve(adapter_bytes=1000)
    with pytest.raises(InvalidRequest) as caught:
        served.ask(served.request(tuned.refs["all_linear"]))
    assert caught.value.code == "model_too_large"


async def test_an_engine_closed_while_an_adapter_loads_ends_its_requests_and_frees_its_model() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def load(ref: WeightsRef) -> Adapter:
        has_begun.set()
        assert may_end.wait(300)
        return Adapter(ref.digest)

    runner = FakeRunner()
    engine = _engine(runner, load)
    ref = WeightsRef(digest="d", manifest_key="m")
    request = GenerationRequest(id="r", model=ModelRef(base=BASE, adapter=ref), prompt=TextPrompt(text="x"))
    running = asyncio.create_task(anext(engine.generate(request), None))
    assert await asyncio.to_thread(has_begun.wait, 30)
    closing = asyncio.create_task(engine.close())
    may_end.set()
    with pytest.raises(Unavailable, match="closed"):
        await running
    await closing
    await engine.close()
    alive = weakref.ref(runner)
    del runner
    gc.collect()
    assert alive() is None, "a closed engine keeps no model in memory"
