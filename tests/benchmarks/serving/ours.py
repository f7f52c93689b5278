"""The embedded engine as a replica runs it: adapters from storage, requests and events over its queues."""

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from cluster.contracts.generation import (
    FinishEvent,
    GenerationRequest,
    ModelRef,
    Sampling,
    TextEvent,
    TokenPrompt,
)
from cluster.serving.embedded.engine import EmbeddedEngine
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.limits import EngineLimits
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.benchmarks.serving.meter import Arrived, Burst, measure_in_turns
from tests.benchmarks.serving.prepare import adapters_of, base_of
from tests.benchmarks.serving.task import Measurement, Request, Task


def ours(task: Task) -> dict[str, dict[int, Measurement]]:
    """As `ours` with the adapters, and as `no_lora` without: the two are close, so they take turns in one
    engine."""
    models = [ModelRef(base=base_of(task), adapter=ref) for ref in adapters_of(task)]
    bases = [ModelRef(base=base_of(task))] * task.n_adapters
    with tempfile.TemporaryDirectory() as cache, asyncio.Runner() as runner:
        weights = WeightsFolder(Path(cache), LocalStore(Path(task.folder) / "store"))
        engine = runner.run(_started(EmbeddedLoader(weights, EngineLimits()), models))
        numbers = itertools.count()

        def asking(models: Sequence[ModelRef]) -> Burst:
            def answer(burst: list[Request], arrived: Arrived) -> list[list[int]]:
                asked = [_asked(task, models, request, f"r{next(numbers)}") for request in burst]
                return runner.run(_together(engine, asked, arrived))

            return answer

        answers = {"ours": asking(models), "no_lora": asking(bases)}
        try:
            return measure_in_turns(task, answers)
        finally:
            runner.run(engine.close())


async def _started(load: EmbeddedLoader, models: Sequence[ModelRef]) -> EmbeddedEngine:
    engine = await load(models[0])
    for model in models:
        await engine.ensure(model)
    return engine


def _asked(task: Task, models: Sequence[ModelRef], request: Request, id_: str) -> GenerationRequest:
    return GenerationRequest(
        id=id_,
        model=models[request.adapter],
        prompt=TokenPrompt(token_ids=request.prompt),
        sampling=Sampling(temperature=0, max_tokens=task.new_tokens),
    )


async def _together(
    engine: EmbeddedEngine, asked: list[GenerationRequest], arrived: Arrived
) -> list[list[int]]:
    answers: list[Coroutine[Any, Any, list[int]]] = [
        _answer(engine, request, place, arrived) for place, request in enumerate(asked)
    ]
    return await asyncio.gather(*answers)


async def _answer(
    engine: EmbeddedEngine, request: GenerationRequest, place: int, arrived: Arrived
) -> list[int]:
    """The token ids; padding stands for those without text, which the events count only."""
    text, num_tokens = "", 0
    async for event in engine.generate(request):
        if isinstance(event, TextEvent):
            arrived(place)
            text += event.text
        elif isinstance(event, FinishEvent):
            num_tokens = event.completion_tokens
    words = [int(word) for word in text.split()]
    return words + [0] * (num_tokens - len(words))
