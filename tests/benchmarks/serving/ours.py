"""The embedded engine as in a replica: adapters from storage, requests and events through its queues."""

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
    """Measures the engine with the adapters (`ours`) and without (`no_lora`).

    The two speeds are close, so both are measured in turn in one engine.
    """
    models = [ModelRef(base=base_of(task), adapter=ref) for ref in adapters_of(task)]
    bases = [ModelRef(base=base_of(task))] * task.n_adapters
    with tempfile.TemporaryDirectory() as cache, asyncio.Runner() as runner:
        weights = WeightsFolder(Path(cache), LocalStore(Path(task.folder) / "store"))
        engine = runner.run(_start(EmbeddedLoader(weights, EngineLimits()), models))
        numbers = itertools.count()

        def answering(models: Sequence[ModelRef]) -> Burst:
            def answer(burst: list[Request], arrived: Arrived) -> list[list[int]]:
                requests = [_request(task, models, request, f"r{next(numbers)}") for request in burst]
                return runner.run(_answer_all(engine, requests, arrived))

            return answer

        answers = {"ours": answering(models), "no_lora": answering(bases)}
        try:
            return measure_in_turns(task, answers)
        finally:
            runner.run(engine.close())


async def _start(load: EmbeddedLoader, models: Sequence[ModelRef]) -> EmbeddedEngine:
    engine = await load(models[0])
    for model in models:
        await engine.ensure(model)
    return engine


def _request(task: Task, models: Sequence[ModelRef], request: Request, id_: str) -> GenerationRequest:
    return GenerationRequest(
        id=id_,
        model=models[request.adapter],
        prompt=TokenPrompt(token_ids=request.prompt),
        sampling=Sampling(temperature=0, max_tokens=task.new_tokens),
    )


async def _answer_all(
    engine: EmbeddedEngine, requests: list[GenerationRequest], arrived: Arrived
) -> list[list[int]]:
    answers: list[Coroutine[Any, Any, list[int]]] = [
        _answer(engine, request, place, arrived) for place, request in enumerate(requests)
    ]
    return await asyncio.gather(*answers)


async def _answer(
    engine: EmbeddedEngine, request: GenerationRequest, place: int, arrived: Arrived
) -> list[int]:
    """The token ids of the answer. Tokens without text are replaced by padding: events only count them."""
    text, num_tokens = "", 0
    async for event in engine.generate(request):
        if isinstance(event, TextEvent):
            arrived(place)
            text += event.text
        elif isinstance(event, FinishEvent):
            num_tokens = event.completion_tokens
    words = [int(word) for word in text.split()]
    return words + [0] * (num_tokens - len(words))
