"""A pass that does not fit into memory is halved, and gives the same loss and gradient."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import LanguageObjective, Sums
from cluster.training.loop.step import StepEngine
from cluster.training.model.trainee import autocast, load_trainee, trainable_parameters
from tests.benchmarks.gpu.sizes import GB, Finding, Findings, Setting, rounded
from tests.benchmarks.gpu.tasks import even_task
from tests.benchmarks.training.ours import base_of, config_of, dataset_of

_TOLERANCE = 0.01


class _Cramped(LanguageObjective):
    """Runs out of memory as a GPU would, where there is none."""

    most_tokens: int | None = None

    def sums(self, batch: Microbatch) -> Sums:
        if self.most_tokens is not None and batch.token_ids.numel() > self.most_tokens:
            raise torch.OutOfMemoryError("pretended")
        return super().sums(batch)


def run(setting: Setting) -> Findings:
    task = even_task(setting, "middle", setting.sizes.context // 8, n_chats=32)
    base, config, data = base_of(task), config_of(task), dataset_of(task.chats())
    folder = Path(task.folder)
    trainee = load_trainee(folder, base, config, setting.device, data=data, total_steps=1)
    objective = _Cramped(trainee.model, trainee.head)
    objective.model.train()
    compute = Compute(setting.device, partial(autocast, base, setting.device))
    tokens = setting.sizes.context

    def step(pass_tokens: int) -> dict[str, Any]:
        batcher = Batcher(data, microbatch_tokens=pass_tokens, layout=trainee.layout)
        engine = StepEngine(objective, batcher, compute, heartbeat=lambda: None)
        setting.forget_peak()
        sums = engine.run(batcher.all_examples(), seed=0, command_code=0)
        parameters = trainable_parameters(objective.model).values()
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        for parameter in parameters:
            parameter.grad = None
        reserved = torch.cuda.max_memory_reserved() if setting.device.type == "cuda" else 0
        return {"loss": sums.loss, "norm": norm.item(), "halved": sums.was_halved, "reserved": reserved}

    step(tokens // 2)  # Kernels that run for the first time take memory of their own.
    half, whole = step(tokens // 2), step(tokens)
    limit = (half["reserved"] + whole["reserved"]) / 2
    if setting.device.type == "cuda":
        setting.forget_peak()
        torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.mem_get_info()[1])
    else:
        objective.most_tokens = 3 * tokens // 4
    cramped = step(tokens)
    is_same = all(
        abs(cramped[name] - whole[name]) <= _TOLERANCE * abs(whole[name]) for name in ("loss", "norm")
    )
    figures = {
        "needed_gb": rounded(whole["reserved"] / GB),
        "allowed_gb": rounded(limit / GB),
        "was_halved": cramped["halved"],
        "gradient_norms": [rounded(each["norm"]) for each in (whole, cramped)],
    }
    yield Finding("passes", is_same and cramped["halved"] and not whole["halved"], figures)
