"""Tunery's own training loop, as in a job but without storage."""

from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch

from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import RunnerEvent, StepMetrics
from cluster.training.data.batches import Batcher, pass_tokens
from cluster.training.data.dataset import Dataset
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.loop import Learner, RunData, plan, train
from cluster.training.loop.objectives import LanguageObjective
from cluster.training.loop.optimizer import make_optimizer
from cluster.training.loop.throughput import FlopCounter, peak_flops
from cluster.training.model.trainee import autocast, load_trainee, trainable_parameters
from tests.benchmarks.training.chats import IGNORED, Chat
from tests.benchmarks.training.meter import Meter
from tests.benchmarks.training.task import Measurement, Task


def measure(task: Task, device: torch.device) -> Measurement:
    base, config = base_of(task), config_of(task)
    data = dataset_of(task.chats())
    total_steps = -(-task.n_chats // task.batch_size)
    trainee = load_trainee(Path(task.folder), base, config, device, data=data, total_steps=total_steps)
    batcher = Batcher(data, microbatch_tokens=pass_tokens(config, device), layout=trainee.layout)
    steps = iter(plan(batcher, config).steps())
    meter = Meter("ours", task, total_steps=total_steps)

    def report(event: RunnerEvent) -> None:
        assert isinstance(event, StepMetrics), event
        meter.step(tokens=batcher.n_tokens(next(steps).examples), loss=event.train_loss)

    train(
        Learner(
            LanguageObjective(trainee.model, trainee.head),
            make_optimizer(trainable_parameters(trainee.model), config),
        ),
        RunData(batcher),
        config,
        Compute(device, partial(autocast, base, device)),
        RunHooks(report),
    )
    counted = [step.examples for step in plan(batcher, config).steps(1)]
    flops = sum(FlopCounter(trainee.model, is_full=task.type == "full")(batcher, step) for step in counted)
    return meter.measurement(flops=flops, peak=peak_flops(device, 1), note="; ".join(trainee.notes))


def base_of(task: Task) -> BaseSpec:
    return BaseSpec(
        alias="bench",
        source=FolderSource(path=task.folder),
        context_length=task.context,
        learning_rates={"lora": task.learning_rate, "full": task.learning_rate},
        dtype="bfloat16" if task.is_gpu else "float32",
    )


def config_of(task: Task) -> TrainingConfig:
    return TrainingConfig(
        type=task.type,
        r=16,
        alpha=32.0,
        dropout=0.0,
        target_modules="all-linear",
        on_overlength="error",
        num_workers=1,
        activation_checkpointing=task.activation_checkpointing,
        compile=task.is_compiled,
        n_epochs=1,
        batch_size=task.batch_size,
        learning_rate=task.learning_rate,
        max_length=task.context,
        seed=task.seed,
    )


def dataset_of(chats: list[Chat]) -> Dataset:
    labels = np.concatenate([np.array(chat.labels) for chat in chats])
    return Dataset(
        format="chat",
        token_ids=np.concatenate([np.array(chat.token_ids, dtype=np.int32) for chat in chats]),
        mask=labels != IGNORED,
        offsets=np.array([0, *accumulate(len(chat.token_ids) for chat in chats)], dtype=np.int64),
        lines=np.arange(1, len(chats) + 1, dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )
