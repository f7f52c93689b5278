"""One attempt of a job, in one worker: from its specification to stored checkpoints. No Ray."""

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from cluster.contracts.bases import WeightsForm
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import (
    Command,
    Finished,
    JobSpec,
    RunnerEvent,
    RunnerMessage,
    StepMetrics,
    Stopped,
)
from cluster.storage.store import ObjectStore
from cluster.training.adalora import RankAllocation
from cluster.training.batches import Batcher, pass_tokens
from cluster.training.checkpoint import CheckpointWriter, Writing, download
from cluster.training.dataset import Dataset
from cluster.training.datasets import Datasets, load_datasets
from cluster.training.head import causal_model
from cluster.training.loop import Outcome, Progress, total_steps, train
from cluster.training.model import Trainee, autocast, layers, load_trainee, trainable_parameters
from cluster.training.objectives import (
    ClassificationObjective,
    LanguageObjective,
    PreferenceObjective,
    reference_logprobs,
)
from cluster.training.optimizer import make_optimizer, moments, restore_moments
from cluster.training.pace import FlopCounter
from cluster.training.report import evaluation_report
from cluster.training.snapshot import Saved, Snapshot, restore_weights
from cluster.training.start import Start, find_start
from cluster.training.tokenizer import load_tokenizer
from cluster.training.world import World, joined_world, whole

_ALLOCATION = "allocation/"
"""Before the names of AdaLoRA's tensors among a snapshot's extras."""


def run_attempt(
    spec: JobSpec,
    store: ObjectStore,
    *,
    report: Callable[[RunnerEvent], None],
    command: Callable[[], Command],
    device: torch.device,
    beat: Callable[[], None] = lambda: None,
) -> Finished | Stopped | None:
    """Trains as `spec` says and stores checkpoints under the attempt's own keys.

    Every worker of the gang calls this; only the first one reports, writes and returns the final state.
    Events come without a number (`seq` 0); `beat` is called before each pass through the model, as a sign of
    life. Raises the errors of `loop.train` and of storage, InvalidDataset, and CorruptArtefact if data or
    checkpoint are not what the specification names.
    """
    world = joined_world(is_sharded=spec.config.parallelism == "fsdp")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = load_datasets(spec, store, load_tokenizer(spec.base), folder)
        start = find_start(spec, store, data.training, folder)
        ended = _train(
            spec, store, data, start, folder, world, device, report=report, command=command, beat=beat
        )
        if not world.is_first:
            return None
        if ended is None:
            return Stopped()
        # Here, where the model that was trained is gone: the report loads models of its own.
        measured = evaluation_report(
            spec.base,
            spec.config,
            data,
            start=start,
            form=ended.form,
            folder=ended.folder or _downloaded(store, ended.saved, folder),
            device=device,
            beat=beat,
        )
    return Finished(
        trained_tokens=ended.trained_tokens,
        manifest_key=ended.saved.manifest_key,
        manifest_sha256=ended.saved.manifest_sha256,
        form=ended.form,
        report=measured,
    )


class _Ended(NamedTuple):
    """A run that is complete."""

    trained_tokens: int
    saved: Saved
    """The job's model."""
    form: WeightsForm
    folder: Path | None
    """Its served files, if they are still here."""


def _train(
    spec: JobSpec,
    store: ObjectStore,
    data: Datasets,
    start: Start,
    folder: Path,
    world: World,
    device: torch.device,
    *,
    report: Callable[[RunnerEvent], None],
    command: Callable[[], Command],
    beat: Callable[[], None],
) -> _Ended | None:
    """From the model's first step, or the next one of a resumed run, to its last; None if a command ended it,
    or if another worker has the checkpoints."""
    run = _Run(spec, data, start, device, world)
    if world.is_first and start.resumed is None:
        for note in data.notes + run.trainee.notes:
            report(_message(note, "warn"))
    writing = Writing(
        spec, store, run.trainee, start.weights, load_tokenizer(spec.base), _probe_data(data), world
    )
    with closing(CheckpointWriter(writing, folder, resumed=_resumed(start))) as writer:
        outcome = run.train(writer, report=report, command=command, beat=beat)
        for event in writer.flush():
            report(event)
    if not outcome.is_complete or not world.is_first:
        return None
    if outcome.is_early:
        report(_message(_early(outcome.progress), "info"))
    step = run.final_step(outcome.progress)
    return _Ended(outcome.progress.trained_tokens, writer.stored[step], run.trainee.form, writer.folder(step))


class _Run:
    """A model with its objective and optimizer, where a start or a resume put them."""

    def __init__(
        self, spec: JobSpec, data: Datasets, start: Start, device: torch.device, world: World
    ) -> None:
        self._spec, self._config, self._device, self._world = spec, spec.config, device, world
        config = spec.config
        self.trainee = load_trainee(
            start.weights,
            spec.base,
            config,
            device,
            data=data.training,
            total_steps=total_steps(len(data.training), config),
            is_base=start.is_base,
        )
        self._autocast = partial(autocast, spec.base, device)
        self._training = self._batcher(data.training)
        self._held_out = None if data.held_out is None else self._batcher(data.held_out)
        self._closing_tokens = _closing_tokens(data)
        continued, resumed = start.snapshot, start.resumed
        own = trainable_parameters(self.trainee.model)
        if continued is not None:
            restore_weights(own, continued.weights)
        self._find_references(resumed)
        if resumed is not None:
            restore_weights(own, resumed.weights)
        self._objective = make_objective(self.trainee, data.training, config)
        if world.is_sharded:
            world.shard(self._objective, layers(causal_model(self.trainee.model)))
        self._parameters = trainable_parameters(self.trainee.model)
        self._optimizer = make_optimizer(self._parameters, config)
        self._allocation = None
        if config.peft_config is not None and config.peft_config["peft_type"] == "ADALORA":
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
        beat: Callable[[], None],
    ) -> Outcome:
        def look() -> Command:
            for event in writer.finished():
                report(event)
            return command()

        def save(progress: Progress, metrics: StepMetrics) -> None:
            is_last_so_far = self.final_step(progress) == progress.step
            take = partial(self._snapshot, progress, writer)
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
            flops=FlopCounter(causal_model(self.trainee.model), is_full=self._config.type == "full"),
            allocation=self._allocation,
            start=self._start,
            closing_tokens=self._closing_tokens,
            world=self._world,
            beat=beat,
        )

    def final_step(self, progress: Progress) -> int:
        """Whose checkpoint is the job's model, if training ends here."""
        is_best = self._config.early_stopping is not None and progress.best_step
        return progress.best_step if is_best else progress.step

    def _batcher(self, data: Dataset) -> Batcher:
        return Batcher(
            data,
            microbatch_tokens=pass_tokens(self._config, self._device),
            layout=self.trainee.layout,
            rank=self._world.rank,
            world_size=self._world.size,
        )

    def _find_references(self, resumed: Snapshot | None) -> None:
        """DPO: of the model as it is now, or as it was when the resumed run began."""
        for name, batcher in self._references():
            if resumed is not None:
                batcher.reference = resumed.extras[name]
                continue
            model, head = self.trainee.model, self.trainee.head
            batcher.reference = reference_logprobs(
                model, head, batcher, autocast=self._autocast, device=self._device, world=self._world
            )

    def _references(self) -> list[tuple[str, Batcher]]:
        if self._config.method != "dpo":
            return []
        named = [("reference", self._training), ("held_out_reference", self._held_out)]
        return [(name, batcher) for name, batcher in named if batcher is not None]

    def _resume(self, resumed: Snapshot) -> None:
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

    def _snapshot(self, progress: Progress, writer: CheckpointWriter) -> Snapshot:
        extras: dict[str, Tensor] = {}
        for name, batcher in self._references():
            assert batcher.reference is not None
            extras[name] = batcher.reference
        if self._allocation is not None:
            extras |= {_ALLOCATION + name: value for name, value in self._allocation.state().items()}
        return Snapshot(
            progress=progress,
            weights={
                name: whole(parameter).detach().to("cpu", copy=True)
                for name, parameter in self._parameters.items()
            },
            moments=moments(self._parameters, self._optimizer),
            extras=extras,
            best=writer.stored.get(progress.best_step),
        )


def make_objective(trainee: Trainee, data: Dataset, config: TrainingConfig) -> Any:
    """What the data set and the method say that training minimises."""
    objective: nn.Module
    if data.class_ids is not None:
        is_per_token = data.format == "token_classification"
        objective = ClassificationObjective(trainee.model, is_per_token=is_per_token)
    elif config.method == "dpo":
        assert config.beta is not None
        objective = PreferenceObjective(trainee.model, trainee.head, beta=config.beta)
    else:
        objective = LanguageObjective(trainee.model, trainee.head)
    return objective


def _probe_data(data: Datasets) -> Dataset:
    return data.training if data.held_out is None else data.held_out


def _resumed(start: Start) -> dict[int, Saved]:
    """The checkpoints before this attempt that may still become the job's model."""
    if start.resumed is None or start.resumed_from is None:
        return {}
    known = {start.resumed.progress.step: start.resumed_from}
    if start.resumed.best is not None:
        known[start.resumed.progress.best_step] = start.resumed.best
    return known


def _closing_tokens(data: Datasets) -> int:
    """Of the evaluation report: both models on everything that is not trained on."""
    return sum(2 * len(each.token_ids) for each in (data.held_out, data.general) if each is not None)


def _downloaded(store: ObjectStore, saved: Saved, folder: Path) -> Path:
    place = folder / "final"
    place.mkdir()
    download(store, saved.manifest_key, place, with_optimizer=False)
    return place


def _early(progress: Progress) -> str:
    return (
        f"Stopped early: the validation loss has not fallen for {progress.stale_epochs} epoch(s). The model "
        f"is the checkpoint of step {progress.best_step}, whose validation loss is {progress.best_loss:.4f}."
    )


def _message(text: str, level: Literal["info", "warn"]) -> RunnerMessage:
    return RunnerMessage(seq=0, created_at=int(time.time()), level=level, message=text)
