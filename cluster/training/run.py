"""A model, its objective and its optimizer, from where a run begins to where it ends."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Command, JobSpec, RunnerEvent, StepMetrics
from cluster.training.checkpoints.checkpoint import CheckpointWriter
from cluster.training.checkpoints.export import DTYPES
from cluster.training.checkpoints.training_state import TrainingState, restore_weights
from cluster.training.data.batches import Batcher, pass_tokens
from cluster.training.data.dataset import Dataset
from cluster.training.data.datasets import Datasets
from cluster.training.loop.loop import Outcome, Progress, schedule_of, train
from cluster.training.loop.objectives import (
    ClassificationObjective,
    LanguageObjective,
    PreferenceObjective,
    reference_logprobs,
)
from cluster.training.loop.optimizer import make_optimizer, moments, restore_moments
from cluster.training.loop.reporting import PassProgress, Report, report_if_slow
from cluster.training.loop.throughput import flop_counter
from cluster.training.model.adalora import RankAllocation
from cluster.training.model.head import causal_model
from cluster.training.model.trainee import Trainee, autocast, layers, load_trainee, trainable_parameters
from cluster.training.starting_point import StartingPoint
from cluster.training.world import World, host_copies

_ALLOCATION = "allocation/"
"""Before the names of AdaLoRA's tensors among a state's extras."""


class Run:
    """A model with its objective and optimizer, where a start or a resume put them."""

    def __init__(
        self,
        spec: JobSpec,
        data: Datasets,
        start: StartingPoint,
        device: torch.device,
        world: World,
        *,
        report: Report,
        heartbeat: Callable[[], None],
    ) -> None:
        """`report` hears of what takes long; `heartbeat` is called before each pass through the model."""
        self._report = report
        self._device, self._world = device, world
        self._config = config = spec.config
        with report_if_slow(report, "Loading the model"):
            self.trainee = load_trainee(
                start.weights,
                spec.base,
                config,
                # Where workers share a model, it has room on the device only once it is shared.
                torch.device("cpu") if world.is_sharded else device,
                data=data.training,
                total_steps=schedule_of(len(data.training), config).total_steps,
                is_base=start.is_base,
            )
        self._autocast = partial(autocast, spec.base, device)
        self._training = self._batcher(data.training)
        self._held_out = None if data.held_out is None else self._batcher(data.held_out)
        self._closing_tokens = closing_tokens(data)
        continued, resumed = start.state, start.resumed
        own = trainable_parameters(self.trainee.model)
        if continued is not None:
            restore_weights(own, continued.weights)
        if resumed is not None:
            restore_weights(own, resumed.weights)
        self._objective = make_objective(self.trainee, data.training, config)
        if world.is_sharded:
            blocks = layers(causal_model(self.trainee.model))
            world.shard(self._objective, blocks, device, DTYPES[spec.base.dtype])
        self._find_references(resumed, report, heartbeat)
        self._parameters = trainable_parameters(self.trainee.model)
        self._optimizer = make_optimizer(self._parameters, config)
        self._allocation = None
        if config.peft_type == "ADALORA":
            self._allocation = RankAllocation(self.trainee.model)
        self._start = Progress()
        if resumed is not None:
            self._resume(resumed)
        elif continued is not None and config.restore_optimizer:
            step = continued.progress.step
            restore_moments(self._parameters, self._optimizer, continued.moments, step=step)

    def train(
        self,
        writer: CheckpointWriter,
        *,
        report: Callable[[RunnerEvent], None],
        command: Callable[[], Command],
        heartbeat: Callable[[], None],
    ) -> Outcome:
        def look() -> Command:
            for event in writer.finished():
                report(event)
            return command()

        def save(progress: Progress, metrics: StepMetrics) -> None:
            is_last_so_far = self.final_step(progress) == progress.step
            take = partial(self._state, progress, writer)
            with report_if_slow(self._report, f"Saving the checkpoint of step {progress.step}"):
                writer.save(take, progress, metrics, keeps=is_last_so_far)

        return train(
            self._objective,
            self._optimizer,
            self._training,
            self._held_out,
            self._config,
            report=report,
            command=look,
            checkpoint=save,
            autocast=self._autocast,
            device=self._device,
            flops=flop_counter(causal_model(self.trainee.model), is_full=self._config.type == "full"),
            allocation=self._allocation,
            start=self._start,
            closing_tokens=self._closing_tokens,
            world=self._world,
            heartbeat=heartbeat,
        )

    def final_step(self, progress: Progress) -> int:
        """Whose checkpoint is the job's model, if training ends here."""
        return progress.best_step if self._is_best(progress) else progress.step

    def final_loss(self, progress: Progress) -> float | None:
        """That checkpoint's loss on the held-out examples; None if there are none."""
        return progress.best_loss if self._is_best(progress) else progress.last_loss

    def _is_best(self, progress: Progress) -> bool:
        """The best epoch's checkpoint is chosen."""
        return self._config.early_stopping is not None and progress.best_step > 0

    def _batcher(self, data: Dataset) -> Batcher:
        return Batcher(
            data,
            microbatch_tokens=pass_tokens(self._config, self._device),
            layout=self.trainee.layout,
            rank=self._world.rank,
            world_size=self._world.size,
        )

    def _find_references(
        self, resumed: TrainingState | None, report: Report, heartbeat: Callable[[], None]
    ) -> None:
        """DPO: of the model as it is now, or as it was when the resumed run began."""
        for name, batcher in self._references():
            if resumed is not None:
                batcher.reference = resumed.extras[name]
                continue
            passes = PassProgress(report, "Scoring the examples before training", heartbeat=heartbeat)
            passes.expect(batcher.n_passes(batcher.all_examples()))
            batcher.reference = reference_logprobs(
                self._objective,
                batcher,
                autocast=self._autocast,
                device=self._device,
                world=self._world,
                heartbeat=passes,
            )

    def _references(self) -> list[tuple[str, Batcher]]:
        if self._config.method != "dpo":
            return []
        named = [("reference", self._training), ("held_out_reference", self._held_out)]
        return [(name, batcher) for name, batcher in named if batcher is not None]

    def _resume(self, resumed: TrainingState) -> None:
        step = resumed.progress.step
        restore_moments(self._parameters, self._optimizer, resumed.moments, step=step)
        if self._allocation is not None:
            self._allocation.restore(
                {
                    name.removeprefix(_ALLOCATION): value
                    for name, value in resumed.extras.items()
                    if name.startswith(_ALLOCATION)
                }
            )
        self._start = resumed.progress

    def _state(self, progress: Progress, writer: CheckpointWriter) -> TrainingState:
        extras: dict[str, Tensor] = {}
        for name, batcher in self._references():
            assert batcher.reference is not None
            extras[name] = batcher.reference
        if self._allocation is not None:
            extras |= {_ALLOCATION + name: value for name, value in self._allocation.state().items()}
        return TrainingState(
            progress=progress,
            weights=host_copies(self._parameters, self._world),
            moments=moments(self._parameters, self._optimizer, self._world),
            extras=extras,
            best=writer.stored.get(progress.best_step),
        )


def make_objective(trainee: Trainee, data: Dataset, config: TrainingConfig) -> Any:
    """What the data set and the method say that training minimises."""
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
    """Of the evaluation report: both models on everything that is not trained on."""
    return sum(2 * len(each.token_ids) for each in (data.held_out, data.general) if each is not None)
