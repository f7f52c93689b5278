"""One run of training: a model, its objective and its optimizer, from the first step to the last."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Command, JobSpec, StepMetrics
from cluster.contracts.manifest import Probe
from cluster.training.checkpoints.export import DTYPES
from cluster.training.checkpoints.probe import score_probe
from cluster.training.checkpoints.resume_state import SavedState, TrainingState
from cluster.training.checkpoints.served import unadapted
from cluster.training.checkpoints.writer import CheckpointWriter
from cluster.training.data.batches import Batcher, pass_tokens
from cluster.training.data.dataset import Dataset
from cluster.training.data.datasets import Datasets
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
from cluster.training.loop.reporting import PassProgress, report_if_slow
from cluster.training.loop.throughput import flop_counter
from cluster.training.model.adalora import RankAllocation
from cluster.training.model.head import causal_model
from cluster.training.model.trainee import Trainee, autocast, layers, load_trainee, trainable_parameters
from cluster.training.starting_point import StartingPoint
from cluster.training.world import World, gathered

_ALLOCATION = "allocation/"
"""Prefix of the names of AdaLoRA's tensors among a state's extras."""


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
            closing_tokens(data),
        )
        continued, resumed = start.state, start.resumed
        objective = make_objective(self.trainee, data.training, config)
        if world.is_sharded:
            blocks = layers(causal_model(self.trainee.model))
            world.shard(objective, blocks, device, DTYPES[spec.base.dtype])
        own = trainable_parameters(self.trainee.model)
        if continued is not None:
            continued.restore_weights(own)
        if resumed is not None:
            resumed.restore_weights(own)
        began = hooks.clock()
        extras = {} if resumed is None else resumed.extras()
        self._find_references(objective, extras)
        self.scoring_seconds = hooks.clock() - began
        """Of the examples before the first step, for DPO."""
        self._parameters = trainable_parameters(self.trainee.model)
        self._learner = Learner(
            objective,
            make_optimizer(self._parameters, config),
            RankAllocation(self.trainee.model) if config.peft_type == "ADALORA" else None,
            flop_counter(causal_model(self.trainee.model), is_full=config.type == "full"),
        )
        self._start = Progress()
        if resumed is not None:
            self._resume(resumed, extras)
        elif continued is not None and config.restore_optimizer:
            self._restore_moments(continued)

    def train(self, writer: CheckpointWriter) -> Outcome:
        """Trains to the end or to a command, storing checkpoints with `writer`."""

        def report_stored_and_get_command() -> Command:
            for event in writer.finished():
                self._hooks.report(event)
            return self._hooks.command()

        def save(progress: Progress, metrics: StepMetrics, *, is_served: bool) -> None:
            is_last_so_far = self.final_step(progress) == progress.step
            take = partial(self._state, progress, writer)
            what = f"Saving the checkpoint of step {progress.step}"
            with report_if_slow(self._hooks.report, what, heartbeat=self._hooks.heartbeat):
                writer.save(take, metrics, is_served=is_served, keeps=is_last_so_far)

        hooks = replace(
            self._hooks, command=report_stored_and_get_command, checkpoint=save, is_saving=writer.is_busy
        )
        return train(self._learner, self._data, self._config, self._compute, hooks, start=self._start)

    def score_probe(self, data: Dataset, is_adapter_off: bool) -> Probe:
        """Scores the probe with the model as it is now, or without its adapter. All workers call it
        together."""
        # The masters of a full fine-tune are in fp32, and are served in the base's type.
        autocast = self._compute.autocast if self._config.type == "full" else nullcontext
        with gathered(self._learner.objective), autocast():
            if not is_adapter_off:
                return score_probe(self.trainee.model, data)
            with unadapted(self.trainee.model) as base:
                return score_probe(base, data)

    def final_step(self, progress: Progress) -> int:
        """The step whose checkpoint is the job's model if training ends here."""
        return progress.best_step if self._is_best(progress) else progress.step

    def final_loss(self, progress: Progress) -> float | None:
        """That checkpoint's loss on the held-out examples; None if there are none."""
        return progress.best_loss if self._is_best(progress) else progress.last_loss

    def _is_best(self, progress: Progress) -> bool:
        """Whether the best epoch's checkpoint is chosen, not the last one."""
        return self._config.early_stopping is not None and progress.best_step > 0

    def _batcher(self, data: Dataset) -> Batcher:
        return Batcher(
            data,
            microbatch_tokens=pass_tokens(self._config, self._compute.device),
            layout=self.trainee.layout,
            rank=self._compute.world.rank,
            world_size=self._compute.world.size,
        )

    def _find_references(self, objective: Any, extras: Mapping[str, Tensor]) -> None:
        """For DPO: scores the examples with the model as it is now, or takes the scores of the resumed
        run."""
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
        named = [("reference", self._data.training), ("held_out_reference", self._data.held_out)]
        return [(name, batcher) for name, batcher in named if batcher is not None]

    def _restore_moments(self, saved: SavedState) -> None:
        found = saved.moments(self._parameters)
        restore_moments(self._parameters, self._learner.optimizer, found, step=saved.progress.step)

    def _resume(self, resumed: SavedState, extras: Mapping[str, Tensor]) -> None:
        self._restore_moments(resumed)
        if self._learner.allocation is not None:
            self._learner.allocation.restore(
                {
                    name.removeprefix(_ALLOCATION): value
                    for name, value in extras.items()
                    if name.startswith(_ALLOCATION)
                }
            )
        self._start = resumed.progress

    def _state(self, progress: Progress, writer: CheckpointWriter) -> TrainingState:
        extras: dict[str, Tensor] = {}
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
    """What training minimises, by the data set and the method."""
    objective: nn.Module
    if data.class_ids is not None:
        objective = ClassificationObjective(trainee.model, is_per_token=data.is_per_token)
    elif config.method == "dpo":
        assert config.beta is not None
        objective = PreferenceObjective(trainee.model, trainee.head, beta=config.beta)
    else:
        objective = LanguageObjective(trainee.model, trainee.head)
    return objective


def closing_tokens(data: Datasets) -> int:
    """The tokens that the evaluation report scores: all that is not trained on, by both models."""
    return sum(2 * len(each.token_ids) for each in (data.held_out, data.general) if each is not None)
