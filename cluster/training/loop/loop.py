"""The training loop: a plain function over an objective, data and a few callables. No Ray, no storage."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import EarlyStopping, TrainingConfig
from cluster.contracts.jobs import Command, RunnerMessage, StepMetrics
from cluster.training.data.batches import Batcher, Schedule, Step
from cluster.training.data.dataset import Indices
from cluster.training.evaluation.evaluation import Score, evaluate
from cluster.training.loop.objectives import Objective
from cluster.training.loop.reporting import PassProgress, Report
from cluster.training.loop.step import StepEngine
from cluster.training.loop.throughput import FORWARD_SHARE, FlopCounter, Throughput, memory_bytes, peak_flops
from cluster.training.model.adalora import RankAllocation
from cluster.training.world import World, whole

CHECKPOINT_SECONDS = 300.0
"""Training time between checkpoints at most, besides the one of every epoch: what a crash can cost."""

VALIDATIONS = 20
"""Times in a run that a few validation examples are scored, besides all of them at each epoch's end."""

COMMANDS: tuple[Command, ...] = ("continue", "pause", "cancel")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come; with the weights and the optimizer's moments, all that a resume needs.

    Batches and random numbers are functions of (seed, step), so there is no generator state to keep.
    """

    step: int = 0
    """Optimizer steps done."""
    trained_tokens: int = 0
    best_step: int = 0
    """The epoch's end with the lowest validation loss so far; 0 is none yet."""
    best_loss: float = math.inf
    stale_epochs: int = 0
    """Epochs since then."""
    last_loss: float | None = None
    """The validation loss at the last epoch's end."""


class Checkpointer(Protocol):
    def __call__(self, progress: Progress, metrics: StepMetrics) -> None:
        """Saves weights, optimizer and progress. Called on every worker at the same steps."""


@dataclass(frozen=True, slots=True)
class Outcome:
    progress: Progress
    is_complete: bool
    """False: a command ended the run before its last step."""
    is_early: bool = False
    """Complete, because the validation loss no longer fell."""


def train(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    data: Batcher,
    held_out: Batcher | None,
    config: TrainingConfig,
    *,
    report: Callable[[StepMetrics | RunnerMessage], None],
    command: Callable[[], Command],
    checkpoint: Checkpointer,
    autocast: Callable[[], Any],
    device: torch.device,
    flops: FlopCounter | None = None,
    allocation: RankAllocation | None = None,
    start: Progress = Progress(),
    closing_tokens: int = 0,
    world: World = World(),
    heartbeat: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Trains the objective's model in place, from `start` to the end or to a command.

    Each step minimises the mean loss over the learned tokens, pairs or labels of its whole batch, however it
    is cut into workers and microbatches. The first worker calls `report` once a step; `checkpoint` is called
    after each epoch, when CHECKPOINT_SECONDS have passed, and before a pause is obeyed; the first worker's
    `command` counts for all. `closing_tokens` are scored by the caller afterwards, for the time that is left;
    `heartbeat` is called before each pass.

    Raises TrainingFailed with code `non_finite_loss` before a bad update is applied, or `out_of_memory`.
    """
    parameters = [group["params"] for group in optimizer.param_groups]
    flat = [parameter for group in parameters for parameter in group]
    schedule = plan(data, config)
    engine = StepEngine(objective, data, autocast=autocast, device=device, world=world, heartbeat=heartbeat)
    score = partial(
        _scored, objective, report=report, autocast=autocast, device=device, world=world, heartbeat=heartbeat
    )
    validation = None if held_out is None else _Validation(held_out, score, size=config.batch_size)
    throughput = Throughput(
        _work(schedule, data, validation, start) + closing_tokens * FORWARD_SHARE, clock=clock
    )
    peak = peak_flops(device, world.size)
    progress, last_checkpoint = start, clock()
    if _is_stale(start, config.early_stopping):
        return Outcome(start, is_complete=True, is_early=True)
    objective.model.train()

    for step in schedule.steps(start.step):
        is_due = step.ends_epoch or clock() - last_checkpoint >= CHECKPOINT_SECONDS
        command_code = _encoded(command(), is_due=is_due) if world.is_first else 0
        # One seed a step and worker: dropout needs no state in a checkpoint, and a resume repeats it exactly.
        sums = engine.run(
            step.examples, seed=_mixed_seed(config.seed, step.number, world.rank), command_code=command_code
        )
        order, is_due = _decoded(sums.command_code)
        if order == "cancel":
            return Outcome(progress, is_complete=False)
        if sums.was_halved and world.is_first:
            report(_halved(step))
        engine.add_up_gradients()
        if allocation is not None:
            allocation.add_penalty()
        grad_norm = float(whole(torch.nn.utils.clip_grad_norm_(flat, config.max_grad_norm)))
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

        n_tokens, n_units = data.n_tokens(step.examples), data.n_units(step.examples)
        progress = replace(progress, step=step.number + 1, trained_tokens=progress.trained_tokens + n_tokens)
        throughput.trained(n_tokens, flops(data, step.examples) if flops is not None else 0.0)
        few = everything = None
        if validation is not None:
            few, everything = validation.after(step, schedule.total_steps, throughput)
            if everything is not None:
                progress = update_best(progress, everything.loss, config.early_stopping)
        is_early = step.ends_epoch and _is_stale(progress, config.early_stopping)
        metrics = StepMetrics(
            seq=0,
            created_at=int(time.time()),
            step=progress.step,
            total_steps=schedule.total_steps,
            train_loss=sums.loss / n_units,
            train_mean_token_accuracy=sums.correct / n_units,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            tokens_per_second=throughput.tokens_per_second,
            eta_seconds=0.0 if is_early else throughput.eta_seconds,
            memory_bytes=memory_bytes(device),
            mfu=throughput.mfu(peak),
            reward_margin=sums.margin / n_units if config.method == "dpo" else None,
            valid_loss=few and few.loss,
            valid_mean_token_accuracy=few and few.accuracy,
            full_valid_loss=everything and everything.loss,
            full_valid_mean_token_accuracy=everything and everything.accuracy,
            full_valid_f1=everything and everything.f1,
        )
        if world.is_first:
            report(metrics)
        if is_due or order == "pause":
            checkpoint(progress, metrics)
            last_checkpoint = clock()
        is_last = is_early or progress.step == schedule.total_steps
        if is_last or order == "pause":
            return Outcome(progress, is_complete=is_last, is_early=is_early)

    return Outcome(progress, is_complete=True)


def plan(data: Batcher, config: TrainingConfig) -> Schedule:
    """Which examples each step takes."""
    # Without padding there is nothing to gain.
    return schedule_of(len(data), config, None if data.layout == "packed" else data.dataset.lengths())


def schedule_of(n_examples: int, config: TrainingConfig, lengths: Indices | None = None) -> Schedule:
    """The run's steps, as its configuration says; `lengths` as Schedule takes them."""
    return Schedule(
        n_examples,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        seed=config.seed,
        lengths=lengths,
    )


def scheduled_rate(config: TrainingConfig, step: int, total_steps: int) -> float:
    """The learning rate of step `step`, from 0: rises linearly over the warm-up, then falls linearly and
    would be zero one step after the last."""
    warmup_steps = math.ceil(config.warmup_ratio * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    return config.learning_rate * (total_steps - step) / max(1, total_steps - warmup_steps)


def update_best(progress: Progress, loss: float, rule: EarlyStopping | None) -> Progress:
    """The progress after an epoch of this validation loss: the best one so far, or another stale one."""
    progress = replace(progress, last_loss=loss)
    min_delta = 0.0 if rule is None else rule.min_delta
    if loss < progress.best_loss - min_delta:
        return replace(progress, best_step=progress.step, best_loss=loss, stale_epochs=0)
    return replace(progress, stale_epochs=progress.stale_epochs + 1)


class _Validation:
    """Scores validation examples now and then."""

    def __init__(self, batcher: Batcher, score: Callable[[Batcher, Indices], Score], *, size: int) -> None:
        """`size`: how many examples are a few."""
        self.batcher = batcher
        self._score, self._size = score, size
        self._everything = batcher.all_examples()

    def after(
        self, step: Step, total_steps: int, throughput: Throughput
    ) -> tuple[Score | None, Score | None]:
        """The scores that are due after this step: of a few examples, and of all."""
        few = everything = None
        if self.is_due(step, total_steps):
            few = self._scored(self._few(step.number // _every(total_steps)), throughput)
        if step.ends_epoch:
            everything = self._scored(self._everything, throughput)
        return few, everything

    def work(self, step: Step, total_steps: int) -> float:
        """Tokens that are scored after this step."""
        tokens = 0
        if self.is_due(step, total_steps):
            tokens += self.batcher.n_tokens(self._few(step.number // _every(total_steps)))
        if step.ends_epoch:
            tokens += self.batcher.n_tokens(self._everything)
        return tokens * FORWARD_SHARE

    @staticmethod
    def is_due(step: Step, total_steps: int) -> bool:
        return (step.number + 1) % _every(total_steps) == 0

    def _few(self, turn: int) -> Indices:
        """Another few each turn, until all have had theirs."""
        size = min(self._size, len(self._everything))
        return self._everything.take(np.arange(turn * size, (turn + 1) * size), mode="wrap")

    def _scored(self, examples: Indices, throughput: Throughput) -> Score:
        score = self._score(self.batcher, examples)
        throughput.scored(self.batcher.n_tokens(examples))
        return score


def _scored(
    objective: Objective,
    batcher: Batcher,
    examples: Indices,
    *,
    report: Report,
    heartbeat: Callable[[], None],
    world: World,
    **how: Any,
) -> Score:
    """`evaluate`, whose progress the job's owner hears of if it takes long."""
    passes = PassProgress(report if world.is_first else lambda _: None, "Validation", heartbeat=heartbeat)
    passes.expect(batcher.n_passes(examples))
    return evaluate(objective, batcher, examples, world=world, heartbeat=passes, **how)


def _work(schedule: Schedule, data: Batcher, validation: _Validation | None, start: Progress) -> float:
    """Of the steps that are left, in tokens trained on."""
    work = 0.0
    for step in schedule.steps(start.step):
        work += data.n_tokens(step.examples)
        if validation is not None:
            work += validation.work(step, schedule.total_steps)
    return work


def _every(total_steps: int) -> int:
    """Steps between two scores of a few validation examples."""
    return max(1, total_steps // VALIDATIONS)


def _encoded(order: Command, *, is_due: bool) -> int:
    return COMMANDS.index(order) + len(COMMANDS) * is_due


def _decoded(code: int) -> tuple[Command, bool]:
    return COMMANDS[code % len(COMMANDS)], code >= len(COMMANDS)


def _is_stale(progress: Progress, rule: EarlyStopping | None) -> bool:
    return rule is not None and progress.stale_epochs >= rule.patience


def _mixed_seed(seed: int, step: int, rank: int) -> int:
    """Neighbouring steps and workers get unrelated generators: odd multipliers, 63 bits."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + rank * 0x8CB92BA72F3D8DD7) % (1 << 63)


def _halved(step: Step) -> RunnerMessage:
    return RunnerMessage(
        seq=0,
        created_at=int(time.time()),
        level="warn",
        message=f"Memory did not suffice at step {step.number + 1}: from here on a pass takes half as many "
        "tokens, which changes no result but the draws of dropout.",
    )


def _not_finite(loss: float, step: Step, lines: list[int]) -> TrainingFailed:
    what = "gradient" if math.isfinite(loss) else "loss"
    where = (
        f" Line(s) {', '.join(map(str, lines[:20]))} of the training file cause it."
        if lines
        else " No single example of the step causes it."
    )
    return TrainingFailed(
        f"The {what} of step {step.number + 1} is not a finite number; the last good checkpoint is kept."
        f"{where} Lower learning_rate_multiplier, or look for broken examples.",
        code="non_finite_loss",
    )
