"""One attempt of a job in one worker, from its specification to stored checkpoints. No Ray."""

import logging
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from cluster.bases.pretrained import stop_tokens
from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.costs import RunCost
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import Finished, JobSpec, Stopped
from cluster.contracts.weights import WeightsRef
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.environment import device_name
from cluster.training.checkpoints.node_copies import NodeCopies
from cluster.training.checkpoints.served_weights import ServedWeights
from cluster.training.checkpoints.writer import CheckpointContext, CheckpointWriter
from cluster.training.data.answer_prompts import answer_prompts
from cluster.training.data.dataset import Dataset
from cluster.training.data.datasets import Datasets, load_datasets
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.evaluation.report import TunedFiles, evaluation_report
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.progress import Progress
from cluster.training.loop.reporting import message, report_if_slow
from cluster.training.loop.step import is_out_of_memory, typed_out_of_memory
from cluster.training.loop.throughput import memory_bytes
from cluster.training.node_folder import node_folder
from cluster.training.run import Run
from cluster.training.scratch import scratch_folder
from cluster.training.starting_point import StartingPoint, find_starting_point
from cluster.training.world import World, joined_world

logger = logging.getLogger(__name__)


def run_attempt(
    spec: JobSpec, store: ObjectStore, hooks: RunHooks, *, device: torch.device
) -> Finished | Stopped | None:
    """Trains as `spec` says and stores checkpoints under the attempt's own keys.

    Every worker of the gang calls this; only the first one reports, writes, and returns the final state.
    Raises the errors of `loop.train` and of storage, InvalidDataset, and CorruptArtefact if data or
    checkpoint are not what the specification names."""
    world = joined_world(spec.config.parallelism)
    if not world.is_first:
        hooks = hooks.without_reports()
    shared = node_folder(f"{spec.job_id}-{spec.attempt}")
    with scratch_folder() as folder, shared as shared_folder, typed_out_of_memory():
        copies = NodeCopies(store, shared_folder, hooks.heartbeat)
        attempt = _Attempt(spec, store, copies, folder, device, world, hooks)
        with report_if_slow(hooks.report, "Reading the training data", heartbeat=hooks.heartbeat):
            data = load_datasets(spec, store, load_tokenizer(spec.base), folder)
        hooks.heartbeat()
        with report_if_slow(hooks.report, "Fetching the weights to begin with", heartbeat=hooks.heartbeat):
            # Downloads it if this machine does not have it yet, which may take an hour.
            base_folder(spec.base, report=lambda _done, _total: hooks.heartbeat())
            start = find_starting_point(spec, copies, data.training, folder)
        hooks.heartbeat()
        trained = _train(attempt, data, start)
        if not world.is_first:
            return None
        if trained is None:
            return Stopped()
        # Not in `_train`: the report loads models of its own, after the trained one is freed.
        began = hooks.clock()
        report = _evaluate(attempt, data, start, trained)
        cost = _cost(attempt, data, trained, hooks.clock() - began) if start.resumed is None else None
    return Finished.of(trained.weights, trained_tokens=trained.trained_tokens, report=report, cost=cost)


@dataclass(frozen=True, slots=True)
class _Attempt:
    spec: JobSpec
    store: ObjectStore
    copies: NodeCopies
    folder: Path
    """Scratch space."""
    device: torch.device
    world: World
    hooks: RunHooks


class _Trained(NamedTuple):
    """A complete run."""

    trained_tokens: int
    steps: int
    seconds: float
    memory_bytes: int
    weights: WeightsRef
    """The job's model."""
    folder: Path | None
    """The model's served files, if they are still on this machine."""
    loss: float | None
    """The trained model's loss on the held-out examples."""


def _train(attempt: _Attempt, data: Datasets, start: StartingPoint) -> _Trained | None:
    """Trains to the last step. Returns None if a command ended the run, and on every worker but the first."""
    spec, world, hooks = attempt.spec, attempt.world, attempt.hooks
    is_new, resumed = start.resumed is None, _resumed(start)
    run = Run(spec, data, start, attempt.device, world, hooks)
    if is_new:
        for note in data.notes + run.trainee.notes:
            hooks.report(message(note, "warn"))
    tokenizer = load_tokenizer(spec.base)
    probe_data = _probe_data(data)
    served = ServedWeights(
        spec.base,
        spec.config,
        run.trainee,
        start.weights,
        tokenizer,
        probe_data,
        partial(run.score_probe, probe_data),
        world,
        hooks.heartbeat,
    )
    context = CheckpointContext(
        spec,
        attempt.store,
        served,
        None if start.parent is None else start.parent.digest,
        attempt.device,
        tokenizer,
        answer_prompts(data.training, stop_tokens(base_folder(spec.base), tokenizer)),
        world,
        hooks.heartbeat,
    )
    began = hooks.clock() - run.scoring_seconds
    with closing(CheckpointWriter(context, attempt.folder, resumed=resumed)) as writer:
        outcome = run.train(writer)
        with report_if_slow(hooks.report, "Storing the last checkpoint"):
            saved = writer.flush()
        for event in saved:
            hooks.report(event)
    if not outcome.is_complete or not world.is_first:
        return None
    if outcome.is_early:
        hooks.report(message(_early_stopping_message(outcome.progress), "info"))
    step = run.final_step(outcome.progress)
    return _Trained(
        outcome.progress.trained_tokens,
        outcome.progress.step,
        hooks.clock() - began,
        memory_bytes(attempt.device),
        writer.stored[step],
        writer.folder(step),
        run.final_loss(outcome.progress),
    )


def _cost(attempt: _Attempt, data: Datasets, trained: _Trained, evaluation_seconds: float) -> RunCost:
    held_out, general = (0 if each is None else len(each.token_ids) for each in (data.held_out, data.general))
    return RunCost(
        device=device_name(attempt.device),
        steps=trained.steps,
        trained_tokens=trained.trained_tokens,
        held_out_tokens=held_out,
        general_tokens=general,
        training_seconds=trained.seconds,
        evaluation_seconds=evaluation_seconds,
        memory_bytes=trained.memory_bytes,
    )


def _evaluate(
    attempt: _Attempt, data: Datasets, start: StartingPoint, trained: _Trained
) -> EvaluationReport | None:
    """The report. Without enough memory for it, returns None and warns the job's owner: a trained model must
    not be lost for a figure about it."""
    try:
        folder = trained.folder or attempt.copies.served(trained.weights.manifest_key)[2]
        tuned = TunedFiles(folder, trained.weights.form, trained.loss)
        report = evaluation_report(attempt.spec, data, start, tuned, attempt.device, attempt.hooks)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        logger.exception("There is not enough memory for the evaluation report.")
        text = "Gain and forgetting are not measured: there is not enough memory for it."
        attempt.hooks.report(message(text, "warn"))
        return None
    if attempt.spec.config.type == "qlora":
        attempt.hooks.report(message(_four_bit_message(report, attempt.spec.base), "info"))
    return report


def _probe_data(data: Datasets) -> Dataset:
    return data.training if data.held_out is None else data.held_out


def _resumed(start: StartingPoint) -> dict[int, WeightsRef]:
    """The checkpoints before this attempt that may still become the job's model."""
    if start.resumed is None:
        return {}
    known = {}
    if start.resumed_from is not None:
        known[start.resumed.progress.step] = start.resumed_from
    if start.resumed.best is not None:
        known[start.resumed.progress.best_step] = start.resumed.best
    return known


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
    stopped = f"Stopped early: the validation loss has not fallen for {progress.stale_epochs} epoch(s)."
    if not progress.best_step:
        return f"{stopped} It was never a finite number; the model is the last checkpoint."
    return (
        f"{stopped} The model is the checkpoint of step {progress.best_step}, whose validation loss is "
        f"{progress.best_loss:.4f}."
    )
