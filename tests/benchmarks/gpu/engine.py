"""The embedded engine with a model of eight billion parameters: 1, 8 and 32 requests at once, with an adapter
each in turn or with none."""

import asyncio
from time import perf_counter

import numpy as np

from cluster.contracts.generation import FinishEvent, GenerationRequest, ModelRef, Sampling, TokenPrompt
from cluster.serving.embedded.engine import EmbeddedEngine
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.limits import EngineLimits
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.benchmarks.gpu.adapters import publish_random, random_adapter
from tests.benchmarks.gpu.sizes import GB, Finding, Findings, Setting, rounded

_LEVELS, _ADAPTERS = (1, 8, 32), 8
_PROMPT_TOKENS = 100


def run(setting: Setting) -> Findings:
    base = setting.base("large").model_copy(update={"context_length": 2 * _PROMPT_TOKENS})
    store = LocalStore(setting.work / "adapters")
    alone, tuned = ModelRef(base=base), []
    for number in range(_ADAPTERS):
        folder = setting.work / f"adapter-{number}"
        random_adapter(base, folder, seed=number)
        tuned.append(ModelRef(base=base, adapter=publish_random(base, store, folder)))
    weights = WeightsFolder(setting.work / "fetched", store)
    setting.forget_peak()
    with asyncio.Runner() as runner:
        engine = runner.run(EmbeddedLoader(weights, EngineLimits(slots=max(_LEVELS)))(alone))
        for model in tuned:
            runner.run(engine.ensure(model))
        for name, models in (("base", [alone]), ("adapters", tuned)):
            runner.run(_answers(engine, setting, models, 2, "warm-up"))
            for level in _LEVELS:
                began = perf_counter()
                tokens = runner.run(_answers(engine, setting, models, level, name))
                seconds = perf_counter() - began
                figures = {
                    "tokens_per_second": round(tokens / seconds, 1),
                    "milliseconds_a_token": round(seconds / setting.sizes.answer_tokens * 1000, 1),
                    "peak_gb": rounded(setting.peak_bytes() / GB),
                }
                yield Finding(f"{level} at once, {name}", tokens > 0, figures)
        runner.run(engine.close())


async def _answers(
    engine: EmbeddedEngine, setting: Setting, models: list[ModelRef], count: int, name: str
) -> int:
    """How many tokens were generated for so many requests at once."""
    requests = [
        _request(setting, models[number % len(models)], f"{name}-{count}-{number}") for number in range(count)
    ]
    return sum(await asyncio.gather(*(_answer(engine, request) for request in requests)))


def _request(setting: Setting, model: ModelRef, id_: str) -> GenerationRequest:
    random = np.random.default_rng(0)
    # Words of the tokenizer, whose vocabulary is smaller than the model's.
    prompt = random.integers(10, 300, _PROMPT_TOKENS).tolist()
    sampling = Sampling(temperature=0, max_tokens=setting.sizes.answer_tokens)
    return GenerationRequest(id=id_, model=model, prompt=TokenPrompt(token_ids=prompt), sampling=sampling)


async def _answer(engine: EmbeddedEngine, request: GenerationRequest) -> int:
    tokens = 0
    async for event in engine.generate(request):
        if isinstance(event, FinishEvent):
            tokens += event.completion_tokens
    return tokens
