"""The training loop: a plain function over an objective, data and a few callables. No Ray, no storage."""

import math
from dataclasses import dataclass, replace

import torch

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import RunnerMessage, StepMetrics, WorkerCommand
from cluster.training.data.batches import Batcher, Schedule, Step
from cluster.training.data.dataset import Indices
from cluster.training.evaluation.evaluation import Score
from cluster.training.loop.compute import Compute
from cluster.training.loop.growth import CudaMemory
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.objectives import Objective
from cluster.training.loop.progress import Progress, is_stale, update_best
from cluster.training.loop.reporting import message
from cluster.training.loop.step import StepEngine, StepSums
from cluster.training.loop.stragglers import Stragglers
from cluster.training.loop.throughput import (
    FORWARD_SHARE,
    FlopCounter,
    Throughput,
    memory_bytes,
    peak_flops,
)
from cluster.training.loop.validation import Validation
from cluster.training.model.adalora import RankAllocation
from cluster.training.world import whole

CHECKPOINT_SECONDS = 300.0
"""Maximum training time between two checkpoints, besides the one at the end of each epoch. A crash loses at
most this much work."""

COMMANDS: tuple[WorkerCommand, ...] = ("continue", "pause", "leave", "cancel")


@dataclass(frozen=True, slots=True)
class Learner:
    """What is trained: a model inside its objective, and what updates it."""

    objective: Objective
    optimizer: torch.optim.Optimizer
    allocation: RankAllocation | None = None
    """AdaLoRA's."""
    flops: FlopCounter | None = None
    """None if the model's shape is unknown; the metrics then have no utilisation."""


@dataclass(frozen=True, slots=True)
class RunData:
    training: Batcher
    held_out: Batcher | None = None
    closing_tokens: int = 0
    """Tokens that the caller scores after the run. They are part of the estimate of the remaining time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    progress: Progress
    is_complete: bool
    """False if a command ended the run before its last step."""
    is_early: bool = False
    """Whether the run is complete because the validation loss stopped falling."""


def train(
    learner: Learner,
    data: RunData,
    config: TrainingConfig,
    compute: Compute,
    hooks: RunHooks,
    *,
    start: Progress = Progress(),
) -> Outcome:
    """Trains the learner's model in place, from `start` to the last step or to a command.

    Each step minimises the mean loss over the learned tokens, pairs or labels of its whole batch, however the
    batch is cut into workers and microbatches. `hooks.report` is called after each step. `hooks.checkpoint`
    is called after each epoch, when CHECKPOINT_SECONDS have passed and nothing is being stored, and before a
    command to pause or leave is obeyed. After an epoch and for a pause, the weights can be served.

    Raises TrainingFailed with code `non_finite_loss` before a bad update is applied, or `out_of_memory`.
    """
    optimizer, allocation, world = learner.optimizer, learner.allocation, compute.world
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    schedule = plan(data.training, config)
    memory = CudaMemory(compute.device) if world.is_sharded and compute.device.type == "cuda" else None
    engine = StepEngine(learner.objective, data.training, compute, heartbeat=hooks.heartbeat, memory=memory)
    validation = None
    if data.held_out is not None:
        validation = Validation(learner.objective, data.held_out, compute, hooks, size=config.batch_size)
    work = _work(schedule, data.training, validation, start) + data.closing_tokens * FORWARD_SHARE
    throughput, stragglers = Throughput(work, clock=hooks.clock), Stragglers()
    peak = peak_flops(compute.device, world.size)
    progress, last_checkpoint = start, hooks.clock()
    if is_stale(start, config.early_stopping):
        return Outcome(start, is_complete=True, is_early=True)
    learner.objective.model.train()

    for step in schedule.steps(start.step):
        is_overdue = hooks.clock() - last_checkpoint >= CHECKPOINT_SECONDS and not hooks.is_saving()
        is_due = step.ends_epoch or is_overdue
        command_code = _encode_command(hooks.command(), is_due=is_due) if world.is_first else 0
        # One seed per step and worker. Dropout then needs no state in a checkpoint, and a resume repeats it
        # exactly.
        seed = _mixed_seed(config.seed, step.number, world.rank)
        sums = engine.run(step.examples, seed=seed, command_code=command_code)
        command, is_due = _decode_command(sums.command_code)
        if command == "cancel":
            return Outcome(progress, is_complete=False)
        if sums.was_halved:
            hooks.report(_halved(step))
        if sums.settled_tokens is not None:
            hooks.report(_settled(sums.settled_tokens))
        for rank, ratio in stragglers.watch(sums.work).items():
            hooks.report(_straggles(rank, world.size, ratio))
        engine.add_up_gradients()
        if allocation is not None:
            allocation.add_penalty()
        # By default, sharded gradients are clipped one by one.
        clipped = torch.nn.utils.clip_grad_norm_(
            parameters, config.max_grad_norm, foreach=world.is_sharded or None
        )
        grad_norm = float(whole(clipped))
        if not (math.isfinite(sums.loss) and math.isfinite(grad_norm)):
            optimizer.zero_grad(set_to_none=True)
            raise _not_finite(sums.loss, step, engine.broken_lines(step))

        learning_rate = scheduled_rate(config, step.number, schedule.total_steps)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        if allocation is not None:
            allocation.allocate(step.number + 1)
        optimizer.zero_grad(set_to_none=True)

        n_tokens = data.training.n_tokens(step.examples)
        progress = replace(progress, step=step.number + 1, trained_tokens=progress.trained_tokens + n_tokens)
        flops = 0.0 if learner.flops is None else learner.flops(data.training, step.examples)
        throughput.add_trained(n_tokens, flops)
        few = everything = None
        if validation is not None:
            few, everything = validation.after(step, schedule.total_steps, throughput)
        if everything is not None:
            progress = update_best(progress, everything.loss, config.early_stopping)
        is_early = step.ends_epoch and is_stale(progress, config.early_stopping)
        metrics = StepMetrics(
            step=progress.step,
            total_steps=schedule.total_steps,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            tokens_per_second=throughput.tokens_per_second,
            eta_seconds=0.0 if is_early else throughput.eta_seconds,
            memory_bytes=memory_bytes(compute.device),
            mfu=throughput.mfu(peak),
            **_losses(sums, data.training.n_units(step.examples), config),
            **_validation_metrics(few, everything),
        )
        hooks.report(metrics)
        is_ending = command in ("pause", "leave")
        if is_due or is_ending:
            is_served = step.ends_epoch or command == "pause"
            hooks.checkpoint(progress, metrics, is_served=is_served)
            last_checkpoint = hooks.clock()
        is_last = is_early or progress.step == schedule.total_steps
        if is_last or is_ending:
            return Outcome(progress, is_complete=is_last, is_early=is_early)

    return Outcome(progress, is_complete=True)


def plan(data: Batcher, config: TrainingConfig) -> Schedule:
    """Assigns examples to steps."""
    # Packed examples have no padding, so there is nothing to gain from sorting them by length.
    return schedule_of(len(data), config, None if data.layout == "packed" else data.dataset.lengths())


def schedule_of(n_examples: int, config: TrainingConfig, lengths: Indices | None = None) -> Schedule:
    """Returns the run's steps according to its configuration. `lengths` are passed to Schedule."""
    return Schedule(
        n_examples,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        seed=config.seed,
        lengths=lengths,
    )


def scheduled_rate(config: TrainingConfig, step: int, total_steps: int) -> float:
    """Returns the learning rate of step `step`, counted from 0. It rises linearly over the warm-up, then
    falls linearly and would be zero one step after the last."""
    warmup_steps = math.ceil(config.warmup_ratio * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    return config.learning_rate * (total_steps - step) / max(1, total_steps - warmup_steps)


def _losses(sums: StepSums, n_units: int, config: TrainingConfig) -> dict[str, float | None]:
    return {
        "train_loss": sums.loss / n_units,
        "train_mean_token_accuracy": sums.correct / n_units,
        "reward_margin": sums.margin / n_units if config.method == "dpo" else None,
    }


def _validation_metrics(few: Score | None, everything: Score | None) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {}
    if few is not None:
        metrics |= {"valid_loss": few.loss, "valid_mean_token_accuracy": few.accuracy}
    if everything is not None:
        metrics |= {
            "full_valid_loss": everything.loss,
            "full_valid_mean_token_accuracy": everything.accuracy,
            "full_valid_f1": everything.f1,
        }
    return metrics


def _work(schedule: Schedule, data: Batcher, validation: Validation | None, start: Progress) -> float:
    """Returns the cost of the remaining steps, in the unit of `Throughput`."""
    work = 0.0
    for step in schedule.steps(start.step):
        work += data.n_tokens(step.examples)
        if validation is not None:
            work += validation.work(step, schedule.total_steps)
    return work


def _encode_command(command: WorkerCommand, *, is_due: bool) -> int:
    """Encodes a command, and whether a checkpoint is due, as one number that can be summed over workers."""
    return COMMANDS.index(command) + len(COMMANDS) * is_due


def _decode_command(code: int) -> tuple[WorkerCommand, bool]:
    return COMMANDS[code % len(COMMANDS)], code >= len(COMMANDS)


def _mixed_seed(seed: int, step: int, rank: int) -> int:
    """Returns a 63-bit seed. Odd multipliers give neighbouring steps and workers unrelated generators."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + rank * 0x8CB92BA72F3D8DD7) % (1 << 63)


def _halved(step: Step) -> RunnerMessage:
    return message(
        f"Step {step.number + 1} did not fit into memory: from here on a pass takes half as many tokens, "
        "which changes no result but the draws of dropout.",
        "warn",
    )


def _settled(tokens: int) -> RunnerMessage:
    return message(
        f"A pass takes at most {tokens} tokens: more would not fit into the memory of all devices.", "warn"
    )


def _straggles(rank: int, size: int, ratio: float) -> RunnerMessage:
    return message(
        f"Worker {rank + 1} of {size} takes {ratio:.1f} times as long for a step as others with as much "
        "to do, and all wait for it. Its device or its node is slow, or shared with something else.",
        "warn",
    )


def _not_finite(loss: float, step: Step, lines: list[int]) -> TrainingFailed:
    what = "gradient" if math.isfinite(loss) else "loss"
    where = (
        f" Line(s) {', '.join(map(str, lines))} of the training file cause it."
        if lines
        else " No single example of the step causes it."
    )
    return TrainingFailed(
        f"The {what} of step {step.number + 1} is not a finite number; the last good checkpoint is kept."
        f"{where} Lower learning_rate_multiplier, or look for broken examples.",
        code="non_finite_loss",
    )
