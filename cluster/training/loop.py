"""The training loop: a plain function over a model, data and a few callables. No Ray, no storage."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Command, StepMetrics
from cluster.training.batches import Batcher, Schedule, Step
from cluster.training.dataset import Dataset
from cluster.training.losses import supervised_sums
from cluster.training.world import World

CHECKPOINT_SECONDS = 300.0
"""Training time between checkpoints at most, besides the one of every epoch: what a crash can cost."""

COMMANDS: tuple[Command, ...] = ("continue", "pause", "cancel")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come; with the weights and the optimizer's moments, all that a resume needs.

    Batches and random numbers are functions of (seed, step), so there is no generator state to keep.
    """

    step: int = 0
    """Optimizer steps done."""
    trained_tokens: int = 0


class Checkpointer(Protocol):
    def __call__(self, progress: Progress, metrics: StepMetrics) -> None:
        """Saves weights, optimizer and progress. Called on the first worker only."""


@dataclass(frozen=True, slots=True)
class Outcome:
    progress: Progress
    is_complete: bool
    """False: a command ended the run before its last step."""


def train(
    model: Any,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    validation: Dataset | None,
    config: TrainingConfig,
    *,
    report: Callable[[StepMetrics], None],
    command: Callable[[], Command],
    checkpoint: Checkpointer,
    autocast: Callable[[], Any],
    start: Progress = Progress(),
    world: World = World(),
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Trains `parameters` of the causal `model` in place, from `start` to the end or to a command.

    Each step minimises the mean loss over the learned tokens of its whole batch, however it is cut into
    workers and microbatches. The first worker calls `report` once a step and `checkpoint` after each epoch,
    when CHECKPOINT_SECONDS have passed, and before it obeys a pause; its `command` counts for all workers.

    Raises TrainingFailed with code `non_finite_loss` before a bad update is applied, or `out_of_memory`.
    """
    device = next(iter(parameters.values())).device
    schedule = Schedule(len(data), batch_size=config.batch_size, n_epochs=config.n_epochs, seed=config.seed)
    batcher = _batcher(data, config, world)
    held_out = None if validation is None else _batcher(validation, config, world)
    progress = start
    began = last_checkpoint = clock()
    model.train()

    for step in schedule.steps(start.step):
        # One seed a step and worker: dropout needs no state in a checkpoint, and a resume repeats it exactly.
        torch.manual_seed(_mixed_seed(config.seed, step.number, world.rank))
        n_supervised = batcher.n_supervised(step.examples)
        totals = torch.zeros(3, dtype=torch.float64, device=device)
        with _typed_out_of_memory(config):
            for microbatch in batcher.microbatches(step.examples):
                with autocast():
                    sums = supervised_sums(model, microbatch.to(device))
                torch.autograd.backward(sums.loss / n_supervised)
                totals[0] += sums.loss.detach()
                totals[1] += sums.correct
        if world.is_first:
            totals[2] = COMMANDS.index(command())
        world.add_up(totals)
        world.add_up_gradients(parameters.values())
        grad_norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), config.max_grad_norm)
        loss_sum, n_correct, told, norm = torch.cat([totals, grad_norm.double().view(1)]).tolist()
        order = COMMANDS[int(told)]
        if order == "cancel":
            return Outcome(progress, is_complete=False)
        _check_finite(loss_sum, norm, step)

        learning_rate = scheduled_rate(config, step.number, schedule.total_steps)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        n_tokens = batcher.n_tokens(step.examples)
        progress = Progress(step.number + 1, progress.trained_tokens + n_tokens)
        full_valid_loss = full_valid_accuracy = None
        if held_out is not None and validation is not None and step.ends_epoch:
            full_valid_loss, full_valid_accuracy = evaluate(model, held_out, len(validation), autocast, world)
        seconds = max(clock() - began, 1e-9)
        metrics = StepMetrics(
            seq=0,
            created_at=int(time.time()),
            step=progress.step,
            total_steps=schedule.total_steps,
            train_loss=loss_sum / n_supervised,
            train_mean_token_accuracy=n_correct / n_supervised,
            learning_rate=learning_rate,
            grad_norm=norm,
            tokens_per_second=(progress.trained_tokens - start.trained_tokens) / seconds,
            eta_seconds=seconds / (progress.step - start.step) * (schedule.total_steps - progress.step),
            full_valid_loss=full_valid_loss,
            full_valid_mean_token_accuracy=full_valid_accuracy,
        )
        if world.is_first:
            report(metrics)
            is_due = step.ends_epoch or clock() - last_checkpoint >= CHECKPOINT_SECONDS
            if is_due or order == "pause":
                checkpoint(progress, metrics)
                last_checkpoint = clock()
        if order == "pause" and progress.step < schedule.total_steps:
            return Outcome(progress, is_complete=False)

    return Outcome(progress, is_complete=True)


def make_optimizer(
    parameters: Mapping[str, torch.nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """AdamW. Weight decay leaves biases and norms alone."""
    matrices = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)


def scheduled_rate(config: TrainingConfig, step: int, total_steps: int) -> float:
    """The learning rate of step `step`, from 0: rises linearly over the warm-up, then falls linearly and
    would be zero one step after the last."""
    warmup_steps = math.ceil(config.warmup_ratio * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    return config.learning_rate * (total_steps - step) / max(1, total_steps - warmup_steps)


@torch.no_grad()
def evaluate(
    model: Any, batcher: Batcher, n_examples: int, autocast: Callable[[], Any], world: World
) -> tuple[float, float]:
    """Mean loss and accuracy per learned token over all examples; every worker takes a share."""
    examples = np.arange(n_examples)
    device = model.device
    totals = torch.zeros(2, dtype=torch.float64, device=device)
    model.eval()
    for microbatch in batcher.microbatches(examples):
        with autocast():
            sums = supervised_sums(model, microbatch.to(device))
        totals += torch.stack([sums.loss.double(), sums.correct.double()])
    model.train()
    world.add_up(totals)
    loss_sum, n_correct = totals.tolist()
    n_supervised = batcher.n_supervised(examples)
    return loss_sum / n_supervised, n_correct / n_supervised


def _batcher(data: Dataset, config: TrainingConfig, world: World) -> Batcher:
    return Batcher(data, microbatch_tokens=config.microbatch_tokens, rank=world.rank, world_size=world.size)


def _mixed_seed(seed: int, step: int, rank: int) -> int:
    """Neighbouring steps and workers get unrelated generators: odd multipliers, 63 bits."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + rank * 0x8CB92BA72F3D8DD7) % (1 << 63)


def _check_finite(loss_sum: float, norm: float, step: Step) -> None:
    if math.isfinite(loss_sum) and math.isfinite(norm):
        return
    what = "loss" if not math.isfinite(loss_sum) else "gradient"
    raise TrainingFailed(
        f"The {what} of step {step.number + 1} is not a finite number; the last good checkpoint is kept. "
        "Lower learning_rate_multiplier, or look for broken examples.",
        code="non_finite_loss",
    )


@contextmanager
def _typed_out_of_memory(config: TrainingConfig) -> Iterator[None]:
    """torch says OutOfMemoryError on a GPU; its CPU allocator raises a RuntimeError with these words."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and "not enough memory" not in str(error):
            raise
        raise TrainingFailed(
            f"Not enough memory for a forward and backward pass of up to {config.microbatch_tokens} tokens. "
            "Use shorter examples, a smaller rank, LoRA in place of full fine-tuning, or a larger machine.",
            code="out_of_memory",
        ) from error
