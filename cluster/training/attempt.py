"""One attempt of a job, in one worker: from its specification to stored checkpoints. No Ray."""

import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import torch

from cluster.bases.pretrained import stop_tokens
from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import Command, Finished, JobSpec, RunnerEvent, Stopped
from cluster.contracts.weights import WeightsRef
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.checkpoint import CheckpointContext, CheckpointWriter, download
from cluster.training.data.answer_prompts import answer_prompts
from cluster.training.data.dataset import Dataset
from cluster.training.data.datasets import Datasets, load_datasets
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.evaluation.report import evaluation_report
from cluster.training.loop.loop import Progress
from cluster.training.loop.reporting import message, report_if_slow
from cluster.training.loop.step import is_out_of_memory, typed_out_of_memory
from cluster.training.run import Run
from cluster.training.scratch import scratch_folder
from cluster.training.starting_point import StartingPoint, find_starting_point
from cluster.training.world import World, joined_world

logger = logging.getLogger(__name__)


def run_attempt(
    spec: JobSpec,
    store: ObjectStore,
    *,
    report: Callable[[RunnerEvent], None],
    command: Callable[[], Command],
    device: torch.device,
    heartbeat: Callable[[], None] = lambda: None,
) -> Finished | Stopped | None:
    """Trains as `spec` says and stores checkpoints under the attempt's own keys.

    Every worker of the gang calls this; only the first one reports, writes and returns the final state.
    Events come without a number (`seq` 0); `heartbeat` is called before each pass through the model, as a
    sign of life. Raises the errors of `loop.train` and of storage, InvalidDataset, and CorruptArtefact if
    data or checkpoint are not what the specification names."""
    world = joined_world(is_sharded=spec.config.parallelism == "fsdp")
    if not world.is_first:
        report = _ignore
    with scratch_folder() as folder, typed_out_of_memory():
        with report_if_slow(report, "Reading the training data"):
            data = load_datasets(spec, store, load_tokenizer(spec.base), folder)
        heartbeat()
        with report_if_slow(report, "Fetching the weights to begin with"):
            start = find_starting_point(spec, store, data.training, folder)
        heartbeat()
        ended = _train(
            spec,
            store,
            data,
            start,
            folder,
            world,
            device,
            report=report,
            command=command,
            heartbeat=heartbeat,
        )
        if not world.is_first:
            return None
        if ended is None:
            return Stopped()
        # Here, where the model that was trained is gone: the report loads models of its own.
        measured = _measured(
            spec, store, data, start, ended, folder, device, report=report, heartbeat=heartbeat
        )
    return Finished.of(ended.weights, trained_tokens=ended.trained_tokens, report=measured)


class _Ended(NamedTuple):
    """A run that is complete."""

    trained_tokens: int
    weights: WeightsRef
    """The job's model."""
    folder: Path | None
    """Its served files, if they are still here."""
    loss: float | None
    """On the held-out examples, as it was trained."""


def _train(
    spec: JobSpec,
    store: ObjectStore,
    data: Datasets,
    start: StartingPoint,
    folder: Path,
    world: World,
    device: torch.device,
    *,
    report: Callable[[RunnerEvent], None],
    command: Callable[[], Command],
    heartbeat: Callable[[], None],
) -> _Ended | None:
    """From the model's first step, or the next one of a resumed run, to its last; None if a command ended it,
    or if another worker has the checkpoints."""
    is_new, resumed = start.resumed is None, _resumed(start)
    run = Run(spec, data, start, device, world, report=report, heartbeat=heartbeat)
    start.forget()
    if is_new:
        for note in data.notes + run.trainee.notes:
            report(message(note, "warn"))
    tokenizer = load_tokenizer(spec.base)
    context = CheckpointContext(
        spec,
        store,
        run.trainee,
        start.weights,
        tokenizer,
        _probe_data(data),
        answer_prompts(data.training, stop_tokens(base_folder(spec.base), tokenizer)),
        world,
    )
    with closing(CheckpointWriter(context, folder, resumed=resumed)) as writer:
        outcome = run.train(writer, report=report, command=command, heartbeat=heartbeat)
        with report_if_slow(report, "Storing the last checkpoint"):
            saved = writer.flush()
        for event in saved:
            report(event)
    if not outcome.is_complete or not world.is_first:
        return None
    if outcome.is_early:
        report(message(_early_stopping_message(outcome.progress), "info"))
    step = run.final_step(outcome.progress)
    return _Ended(
        outcome.progress.trained_tokens,
        writer.stored[step],
        writer.folder(step),
        run.final_loss(outcome.progress),
    )


def _measured(
    spec: JobSpec,
    store: ObjectStore,
    data: Datasets,
    start: StartingPoint,
    ended: _Ended,
    folder: Path,
    device: torch.device,
    *,
    report: Callable[[RunnerEvent], None],
    heartbeat: Callable[[], None],
) -> EvaluationReport | None:
    """The report; None, with a word to the job's owner, if there is no memory for it: a trained model is not
    given up for a figure about it."""
    try:
        measured = evaluation_report(
            spec.base,
            spec.config,
            data,
            start=start,
            form=ended.weights.form,
            folder=ended.folder or _downloaded(store, ended.weights, folder),
            trained_loss=ended.loss,
            device=device,
            report=report,
            heartbeat=heartbeat,
        )
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        logger.exception("There is no memory for the evaluation report.")
        report(message("Gain and forgetting are not measured: there is not enough memory for it.", "warn"))
        return None
    if spec.config.type == "qlora":
        report(message(_four_bit_message(measured, spec.base), "info"))
    return measured


def _probe_data(data: Datasets) -> Dataset:
    return data.training if data.held_out is None else data.held_out


def _resumed(start: StartingPoint) -> dict[int, WeightsRef]:
    """The checkpoints before this attempt that may still become the job's model."""
    if start.resumed is None or start.resumed_from is None:
        return {}
    known = {start.resumed.progress.step: start.resumed_from}
    if start.resumed.best is not None:
        known[start.resumed.progress.best_step] = start.resumed.best
    return known


def _downloaded(store: ObjectStore, weights: WeightsRef, folder: Path) -> Path:
    place = folder / "final"
    place.mkdir()
    download(store, weights.manifest_key, place, with_resume_state=False)
    return place


def _four_bit_message(report: EvaluationReport, base: BaseSpec) -> str:
    served = "the dequantized base" if base.qlora_served_on == "four_bits" else "the base in full precision"
    if report.held_out is None or report.trained_loss is None:
        return (
            f"Trained on the base in 4 bits and served on {served}. With held-out examples (validation_file "
            "or training.validation_split) the evaluation says what that changes."
        )
    return (
        f"Loss on the held-out examples: {report.trained_loss:.4f} on the base in 4 bits, as trained; "
        f"{report.held_out.tuned_loss:.4f} on {served}, as served."
    )


def _early_stopping_message(progress: Progress) -> str:
    told = f"Stopped early: the validation loss has not fallen for {progress.stale_epochs} epoch(s)."
    if not progress.best_step:
        return f"{told} It was never a finite number; the model is the last checkpoint."
    return (
        f"{told} The model is the checkpoint of step {progress.best_step}, whose validation loss is "
        f"{progress.best_loss:.4f}."
    )


def _ignore(event: RunnerEvent) -> None:
    """Only the first worker reports."""
