"""A model that is built without memory, read part by part and sharded by FSDP2, over one worker with NCCL,
learns what the same model does without sharding."""

from functools import partial
from pathlib import Path

from torch import distributed

from cluster.contracts.jobs import RunnerEvent, StepMetrics
from cluster.training.checkpoints.export import DTYPES
from cluster.training.data.batches import Batcher, pass_tokens
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.loop import Learner, RunData, train
from cluster.training.loop.objectives import LanguageObjective
from cluster.training.loop.optimizer import make_optimizer
from cluster.training.model.head import causal_model
from cluster.training.model.trainee import autocast, layers, load_trainee, trainable_parameters
from cluster.training.world import World
from tests.benchmarks.gpu.sizes import GB, Finding, Findings, Setting, rounded
from tests.benchmarks.gpu.tasks import task_for
from tests.benchmarks.training.ours import base_of, config_of, dataset_of
from tests.benchmarks.training.task import Task, Type

_TOLERANCE = 0.01


def run(setting: Setting) -> Findings:
    backend = "nccl" if setting.device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, f"file://{setting.work}/meeting", rank=0, world_size=1)
    kinds: tuple[Type, ...] = ("lora", "full")
    for kind in kinds:
        task = task_for(setting, "middle", type=kind, n_chats=96, activation_checkpointing="full")
        expected = _losses(setting, task, World())
        setting.forget_peak()
        found = _losses(setting, task, World(is_sharded=True))
        worst = max(abs(a - b) / a for a, b in zip(expected, found, strict=True))
        figures = {
            "backend": backend,
            "worst_relative_difference": rounded(worst),
            "peak_gb": rounded(setting.peak_bytes() / GB),
        }
        yield Finding(kind, worst <= _TOLERANCE, figures)
    distributed.destroy_process_group()


def _losses(setting: Setting, task: Task, world: World) -> list[float]:
    device, data = setting.device, dataset_of(task.chats())
    base, config = base_of(task), config_of(task)
    folder = Path(task.folder)
    trainee = load_trainee(folder, base, config, device, data=data, total_steps=3, world=world)
    objective = LanguageObjective(trainee.model, trainee.head)
    if world.is_sharded:
        world.shard(objective, layers(causal_model(trainee.model)), device, DTYPES[base.dtype])
    losses: list[float] = []

    def report(event: RunnerEvent) -> None:
        if isinstance(event, StepMetrics):
            losses.append(event.train_loss)

    batcher = Batcher(data, microbatch_tokens=pass_tokens(config, device), layout=trainee.layout)
    learner = Learner(objective, make_optimizer(trainable_parameters(trainee.model), config))
    compute = Compute(device, partial(autocast, base, device), world)
    train(learner, RunData(batcher), config, compute, RunHooks(report))
    return losses
