"""Log-probabilities of the trainer beside the engine's on the same tokens, in bf16, judged as the publish
gate judges a tuned model."""

import asyncio
from dataclasses import asdict
from pathlib import Path

from cluster.contracts.bases import BaseSpec
from cluster.contracts.generation import GenerationRequest, ModelRef, PromptEvent, Sampling, TokenPrompt
from cluster.contracts.manifest import Probe, ProbeScores
from cluster.serving.embedded.engine import EmbeddedEngine
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.limits import EngineLimits
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.node_copies import adapter_state
from cluster.training.checkpoints.probe import PROBE_TOKENS, score_probe, with_base
from cluster.training.model.trainee import load_trainee, trainable_parameters
from service.scheduling.publishing.gate import judge
from tests.benchmarks.gpu.adapters import publish_random, random_adapter
from tests.benchmarks.gpu.sizes import Finding, Findings, Setting
from tests.benchmarks.gpu.tasks import even_task
from tests.benchmarks.training.ours import config_of, dataset_of


def run(setting: Setting) -> Findings:
    base = setting.base("large").model_copy(update={"context_length": PROBE_TOKENS + 1})
    folder, store = setting.work / "scored", LocalStore(setting.work / "scored-store")
    random_adapter(base, folder, seed=1)
    probe = _trained(setting, base, folder)
    setting.forget_peak()
    tuned = ModelRef(base=base, adapter=publish_random(base, store, folder))
    loader = EmbeddedLoader(WeightsFolder(setting.work / "scored-fetched", store), EngineLimits(slots=4))
    with asyncio.Runner() as runner:
        engine = runner.run(loader(ModelRef(base=base)))
        served = runner.run(_served(engine, tuned, probe.token_ids))
        served_base = runner.run(_served(engine, ModelRef(base=base), probe.token_ids))
        runner.run(engine.close())
    verdict = judge(probe, served, served_base, dtype=base.dtype)
    figures: dict[str, object] = {
        "tokens": sum(map(len, probe.logprobs)),
        "parity": verdict.parity.model_dump(),
        "limits": asdict(verdict.limits),
        "problems": verdict.problems,
    }
    yield Finding("publish gate", not verdict.problems, figures)


def _trained(setting: Setting, base: BaseSpec, adapter: Path) -> Probe:
    task = even_task(setting, "large", PROBE_TOKENS, n_chats=4)
    data = dataset_of(task.chats())
    trainee = load_trainee(Path(task.folder), base, config_of(task), setting.device, data=data, total_steps=1)
    adapter_state(adapter).restore_weights(trainable_parameters(trainee.model))
    probe = score_probe(trainee.model, data)
    with trainee.model.disable_adapter():
        return with_base(probe, score_probe(trainee.model, data))


async def _served(engine: EmbeddedEngine, model: ModelRef, rows: list[list[int]]) -> ProbeScores:
    logprobs, top_ids = [], []
    for number, row in enumerate(rows):
        request = GenerationRequest(
            id=f"{model.name}-{number}",
            model=model,
            prompt=TokenPrompt(token_ids=row),
            sampling=Sampling(echo=True, logprobs=1, max_tokens=0),
        )
        async for event in engine.generate(request):
            if isinstance(event, PromptEvent):
                logprobs.append([token.logprob or 0.0 for token in event.tokens[1:]])
                top_ids.append([token.top[0].token_id for token in event.tokens[1:]])
    return ProbeScores(logprobs=logprobs, top_ids=top_ids)
