"""One run of training: a model, its objective and its optimizer from the first step to the last, and the
measurements of the model before and after it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import JobSpec, StepMetrics, WorkerCommand
from cluster.training.checkpoints.export import DTYPES
from cluster.training.checkpoints.resume_state import SavedState, TrainingState
from cluster.training.checkpoints.writer import CheckpointWriter
from cluster.training.data.batches import Batcher, pass_tokens
from cluster.training.data.dataset import Dataset
from cluster.training.data.datasets import Datasets
from cluster.training.evaluation.live import LiveModel, base_scores
from cluster.training.evaluation.scores import Scorer, Scores
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.loop import Learner, Outcome, RunData, schedule_of, train
from cluster.training.loop.objectives import (
    ClassificationObjective,
    LanguageObjective,
    PreferenceObjective,
    reference_logprobs,
)
from cluster.training.loop.optimizer import make_optimizer, moments, restore_moments
from cluster.training.loop.progress import Progress
from cluster.training.loop.reporting import PassProgress, message, report_if_slow
from cluster.training.loop.throughput import flop_counter
from cluster.training.model.adalora import RankAllocation
from cluster.training.model.head import causal_model
from cluster.training.model.trainee import Trainee, autocast, layers, load_trainee, trainable_parameters
from cluster.training.starting_point import StartingPoint
from cluster.training.world import World

_ALLOCATION, _MEASURED = "allocation/", "measured/"
"""Prefixes of names in a state's extras: of AdaLoRA's tensors, and of measurements of models that will not
exist later."""
_EVALUATED_TOKENS = "evaluated_tokens"
"""Name of the maximum number of tokens that an example may have to be evaluated."""
_HELD_OUT_REFERENCE = "held_out_reference"
"""Name of DPO's log-probabilities of the held-out examples."""


class Run:
    """A model with its objective and optimizer, at the step where a starting point or a resume put them."""

    def __init__(
        self,
        spec: JobSpec,
        data: Datasets,
        start: StartingPoint,
        device: torch.device,
        world: World,
        hooks: RunHooks,
    ) -> None:
        self._hooks = hooks
        self._config = config = spec.config
        self._compute = Compute(device, partial(autocast, spec.base, device), world)
        continued, resumed = start.state, start.resumed
        with report_if_slow(hooks.report, "Reading the saved state"):
            extras = {} if resumed is None else resumed.extras()
        kept = int(extras[_EVALUATED_TOKENS]) if _EVALUATED_TOKENS in extras else None
        self._evaluated_tokens = _evaluated_tokens(config, data.training, self._compute, kept)
        before, data = data.evaluated_within(kept), data.evaluated_within(self._evaluated_tokens)
        if resumed is not None:
            extras = _comparable(extras, before, data)
            for note in data.notes:
                if note not in before.notes:
                    hooks.report(message(note, "warn"))
        self.data = data
        """Data that the run trains on and is evaluated on."""
        began = hooks.clock()
        base_probe = None
        if not (start.is_base or _named(extras, _MEASURED)) and spec.base.architecture == "decoder":
            with report_if_slow(hooks.report, "Scoring the base", heartbeat=hooks.heartbeat):
                base_probe = base_scores(spec, data, self._compute)
        self.evaluation_seconds = hooks.clock() - began
        with report_if_slow(hooks.report, "Loading the model", heartbeat=hooks.heartbeat):
            self.trainee = load_trainee(
                start.weights,
                spec.base,
                config,
                device,
                data=data.training,
                total_steps=schedule_of(len(data.training), config).total_steps,
                is_base=start.is_base,
                world=world,
            )
        self._data = RunData(
            self._batcher(data.training),
            None if data.held_out is None else self._batcher(data.held_out),
            closing_tokens(data, models=1 if config.type == "full" or start.adapter is not None else 2),
        )
        objective = make_objective(self.trainee, data.training, config)
        if world.is_sharded:
            blocks = layers(causal_model(self.trainee.model))
            world.shard(objective, blocks, device, DTYPES[spec.base.dtype])
        own = trainable_parameters(self.trainee.model)
        if continued is not None:
            continued.restore_weights(own)
        began = hooks.clock()
        self._find_references(objective, extras)
        self.scoring_seconds = hooks.clock() - began
        """Seconds to score the examples before the first step, for DPO."""
        self.live = LiveModel(
            spec, data, start, self.trainee, objective, self._scorer(objective, data, start), hooks
        )
        began = hooks.clock()
        with report_if_slow(hooks.report, "Scoring the base", heartbeat=hooks.heartbeat):
            self.live.measure_start(_named(extras, _MEASURED), base_probe)
        self.evaluation_seconds += hooks.clock() - began
        if resumed is not None:
            with report_if_slow(hooks.report, "Reading the saved weights"):
                resumed.restore_weights(own)
        self._parameters = trainable_parameters(self.trainee.model)
        self._learner = Learner(
            objective,
            make_optimizer(self._parameters, config),
            RankAllocation(self.trainee.model) if config.peft_type == "ADALORA" else None,
            flop_counter(causal_model(self.trainee.model), is_full=config.type == "full"),
        )
        self._start = Progress()
        with report_if_slow(hooks.report, "Reading the optimizer's state"):
            if resumed is not None:
                self._resume(resumed, extras)
            elif continued is not None and config.restore_optimizer:
                self._restore_moments(continued)

    @property
    def forward_flops(self) -> float | None:
        """FLOPs of the linear layers for each token of a forward pass, as in RunCost."""
        counter = self._learner.flops
        return None if counter is None else counter.per_token

    def train(self, writer: CheckpointWriter) -> Outcome:
        """Trains to the end or to a command, storing checkpoints with `writer`."""

        def command() -> WorkerCommand:
            writer.check()
            return self._hooks.command()

        def save(progress: Progress, metrics: StepMetrics, *, is_served: bool) -> None:
            if self._is_best(progress) and progress.best_step == progress.step:
                self.live.keep_best()
            take = partial(self._state, progress, writer)
            with report_if_slow(self._hooks.report, "Storing the previous checkpoint"):
                # Sends heartbeats while bytes move, because an upload that hangs must be noticed.
                writer.flush()
            what = f"Saving the checkpoint of step {progress.step}"
            with report_if_slow(self._hooks.report, what, heartbeat=self._hooks.heartbeat):
                writer.save(take, metrics, is_served=is_served)

        hooks = replace(self._hooks, command=command, checkpoint=save, is_saving=writer.is_busy)
        return train(self._learner, self._data, self._config, self._compute, hooks, start=self._start)

    def scores(self, progress: Progress) -> tuple[Scores, Scores] | None:
        """Returns the scores of the model before training, and those of the job's model if training ends
        here. All workers call this together. None if they could not be measured."""
        began = self._hooks.clock()
        for batcher in (self.live.scorer.held_out, self.live.scorer.general):
            if batcher is not None:
                # More tokens did not fit into a step.
                batcher.limit(min(batcher.pass_tokens, self._data.training.pass_tokens))
        found = self.live.scores(is_best=self.final_step(progress) != progress.step)
        self.evaluation_seconds += self._hooks.clock() - began
        return found

    def final_step(self, progress: Progress) -> int:
        """Returns the step whose checkpoint is the job's model if training ends here."""
        return progress.best_step if self._is_best(progress) else progress.step

    def final_loss(self, progress: Progress) -> float | None:
        """Returns the loss of that checkpoint on the held-out examples; None if there are none."""
        return progress.best_loss if self._is_best(progress) else progress.last_loss

    def _is_best(self, progress: Progress) -> bool:
        """Whether the best epoch's checkpoint is chosen instead of the last one."""
        return self._config.early_stopping is not None and progress.best_step > 0

    def _scorer(self, objective: Any, data: Datasets, start: StartingPoint) -> Scorer:
        general = None if data.general is None else self._batcher(data.general)
        return Scorer(
            objective,
            self.trainee.head,
            data.training,
            self._data.held_out,
            general,
            self._compute,
            is_continued=start.parent is not None,
        )

    def _batcher(self, data: Dataset) -> Batcher:
        return Batcher(
            data,
            microbatch_tokens=pass_tokens(self._config, self._compute.device),
            layout=self.trainee.layout,
            rank=self._compute.world.rank,
            world_size=self._compute.world.size,
        )

    def _find_references(self, objective: Any, extras: Mapping[str, Tensor]) -> None:
        """Scores the examples for DPO with the model as it is now, or takes the scores of the resumed run."""
        for name, batcher in self._references():
            if name in extras:
                batcher.reference = extras[name]
                continue
            progress = PassProgress(self._hooks, "Scoring the examples before training")
            progress.expect(batcher.n_passes(batcher.all_examples()))
            batcher.reference = reference_logprobs(objective, batcher, self._compute, before_pass=progress)

    def _references(self) -> list[tuple[str, Batcher]]:
        if self._config.method != "dpo":
            return []
        named = [("reference", self._data.training), (_HELD_OUT_REFERENCE, self._data.held_out)]
        return [(name, batcher) for name, batcher in named if batcher is not None]

    def _restore_moments(self, saved: SavedState) -> None:
        found = saved.moments(self._parameters)
        restore_moments(self._parameters, self._learner.optimizer, found, step=saved.progress.step)

    def _resume(self, resumed: SavedState, extras: Mapping[str, Tensor]) -> None:
        self._restore_moments(resumed)
        if self._learner.allocation is not None:
            self._learner.allocation.restore(_named(extras, _ALLOCATION))
        self._start = resumed.progress

    def _state(self, progress: Progress, writer: CheckpointWriter) -> TrainingState:
        extras = {_MEASURED + name: value for name, value in self.live.tensors().items()}
        if self._evaluated_tokens is not None:
            extras[_EVALUATED_TOKENS] = torch.tensor([self._evaluated_tokens])
        for name, batcher in self._references():
            assert batcher.reference is not None
            extras[name] = batcher.reference
        if self._learner.allocation is not None:
            state = self._learner.allocation.state()
            extras |= {_ALLOCATION + name: value for name, value in state.items()}
        return TrainingState(
            progress=progress,
            weights=self._parameters,
            moments=moments(self._parameters, self._learner.optimizer),
            extras=extras,
            best=writer.stored.get(progress.best_step),
        )


def make_objective(trainee: Trainee, data: Dataset, config: TrainingConfig) -> Any:
    """Makes the objective for the data set and the method."""
    objective: nn.Module
    if data.class_ids is not None:
        objective = ClassificationObjective(trainee.model, is_per_token=data.is_per_token)
    elif config.method == "dpo":
        assert config.beta is not None
        objective = PreferenceObjective(trainee.model, trainee.head, beta=config.beta)
    else:
        objective = LanguageObjective(trainee.model, trainee.head)
    return objective


def _evaluated_tokens(
    config: TrainingConfig, training: Dataset, compute: Compute, kept: int | None
) -> int | None:
    """Returns the maximum number of tokens of an example that is evaluated. `kept` is the limit of an earlier
    attempt. Workers that share a model may score no more than memory was planned for. Workers that each hold
    a model keep to `kept` alone, because they survive an example that does not fit."""
    if not compute.world.is_sharded:
        return kept
    own = max(pass_tokens(config, compute.device), int(training.padded_lengths().max()))
    return own if kept is None else min(own, kept)


def _comparable(extras: Mapping[str, Tensor], before: Datasets, now: Datasets) -> dict[str, Tensor]:
    """Returns what an earlier attempt kept, without what it measured on examples that are now left out. That
    attempt may have run on larger devices, or with a model in each worker."""
    dropped: tuple[str, ...] = ()
    if _size(before.held_out) != _size(now.held_out):
        dropped = (_MEASURED, _HELD_OUT_REFERENCE)
    elif _size(before.general) != _size(now.general):
        dropped = (_MEASURED,)
    return {name: value for name, value in extras.items() if not name.startswith(dropped)}


def _size(data: Dataset | None) -> int:
    return 0 if data is None else len(data)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def closing_tokens(data: Datasets, *, models: int) -> int:
    """Returns the number of tokens that the evaluation scores at the end with one model or both: everything
    that is not trained on."""
    return sum(models * len(each.token_ids) for each in (data.held_out, data.general) if each is not None)
