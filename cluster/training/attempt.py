"""One attempt of a job in one worker, from its specification to stored checkpoints. No Ray."""

import logging
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import distributed

from cluster.bases.fit import check_trainable
from cluster.bases.pretrained import stop_tokens
from cluster.bases.resolve import arriving, base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.costs import RunCost
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import Finished, JobSpec, Stopped
from cluster.contracts.weights import WeightsRef
from cluster.scratch import scratch_folder
from cluster.storage.retrying import TRAINING_SECONDS, RetryingStore
from cluster.storage.store import ObjectStore
from cluster.tracing import span
from cluster.training.checkpoints.environment import device_name
from cluster.training.checkpoints.node_copies import NodeCopies
from cluster.training.checkpoints.served_weights import ServedWeights
from cluster.training.checkpoints.writer import CheckpointContext, CheckpointWriter
from cluster.training.data.answer_prompts import answer_prompts
from cluster.training.data.datasets import Datasets, load_datasets
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.evaluation.report import beginning, end, evaluation_report
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.out_of_memory import typed_out_of_memory
from cluster.training.loop.progress import Progress
from cluster.training.loop.reporting import changes_of, kept_alive, message, report_if_slow
from cluster.training.loop.throughput import memory_bytes
from cluster.training.node_folder import node_folder
from cluster.training.run import Run
from cluster.training.scratch_space import require_scratch
from cluster.training.starting_point import StartingPoint, find_starting_point
from cluster.training.world import World, joined_world

logger = logging.getLogger(__name__)


def run_attempt(
    spec: JobSpec, store: ObjectStore, hooks: RunHooks, *, device: torch.device
) -> Finished | Stopped | None:
    """Trains as `spec` says and stores checkpoints under the attempt's own keys.

    Every worker of the gang calls this; only the first one reports, writes, and returns the final state.

    Raises the errors of `loop.train` and of storage, InvalidDataset, CorruptArtefact if the data or a
    checkpoint does not match the specification, and Unavailable (`insufficient_scratch`) if this node has no
    room for the files of checkpoints."""
    store = RetryingStore(store.encrypted_with(spec.encryption_key), TRAINING_SECONDS, hooks.heartbeat)
    world = joined_world(spec.config.parallelism)
    together = world.patient_group()
    if not world.is_first:
        hooks = hooks.without_reports()
    shared = node_folder(f"{spec.job_id}-{spec.attempt}")
    with scratch_folder() as folder, shared as shared_folder, typed_out_of_memory():
        copies = NodeCopies(store, shared_folder, hooks.heartbeat, together)
        attempt = _Attempt(spec, store, copies, folder, device, world, hooks)
        # Heartbeats are sent as bytes move, not as time passes, because a disk or a lock may hang.
        with span("read data"), report_if_slow(hooks.report, "Reading the training data"):
            tokenizer = load_tokenizer(spec.base)
            data = load_datasets(spec, store, tokenizer, folder, on_progress=hooks.heartbeat)
        hooks.heartbeat()
        fetching = report_if_slow(hooks.report, "Fetching the weights to begin with")
        with span("fetch weights"), fetching:
            check_trainable(spec.base, _fetched_base(spec.base, hooks))
            require_scratch(spec, store, world, shared_folder)
            start = find_starting_point(spec, copies, data.training)
        hooks.heartbeat()
        if together is not None:
            # Messages after this point have a short time limit. Until then, each worker is watched by itself.
            what = "Waiting for the other nodes to fetch them"
            with span("wait for nodes"), report_if_slow(hooks.report, what, heartbeat=hooks.heartbeat):
                distributed.barrier(together)
        return _train(attempt, data, start)


def _fetched_base(base: BaseSpec, hooks: RunHooks) -> Path:
    """Downloads the base if this machine does not have it yet, or waits for another process that is
    downloading it. Either may take an hour."""
    moves = changes_of(partial(arriving, base))
    with kept_alive(hooks.heartbeat, only_if=moves):
        return base_folder(base, report=lambda _done, _total: hooks.heartbeat())


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


def _train(attempt: _Attempt, data: Datasets, start: StartingPoint) -> Finished | Stopped | None:
    """Trains to the last step or to a command. Returns None on every worker but the first."""
    spec, world, hooks = attempt.spec, attempt.world, attempt.hooks
    is_new, resumed = start.resumed is None, _resumed(start)
    run = Run(spec, data, start, attempt.device, world, hooks)
    if start.state is not None or start.resumed is not None:
        what = "Waiting for the other workers to read the saved state"
        with report_if_slow(hooks.report, what, heartbeat=hooks.heartbeat):
            attempt.copies.drop_states()
    if is_new:
        for note in run.data.notes + run.trainee.notes:
            hooks.report(message(note, "warn"))
    tokenizer = load_tokenizer(spec.base)
    served = ServedWeights(
        run.trainee,
        spec.base.dtype,
        tokenizer,
        run.live.read_weight,
        run.live.probe,
        world,
        base_folder(spec.base),
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
        hooks.report,
        hooks.heartbeat,
        hooks.patience_seconds,
    )
    began = hooks.clock() - run.scoring_seconds
    with closing(CheckpointWriter(context, attempt.folder, resumed=resumed)) as writer:
        with span("steps"):
            outcome = run.train(writer)
        with span("store"), report_if_slow(hooks.report, "Storing the last checkpoint"):
            writer.flush()
    if not outcome.is_complete:
        return Stopped() if world.is_first else None
    trained_seconds = hooks.clock() - began
    if outcome.is_early:
        hooks.report(message(_early_stopping_message(outcome.progress), "info"))
    used = memory_bytes(attempt.device)
    with span("evaluate"):
        report = _evaluate(attempt, run, outcome.progress)
    if not world.is_first:
        return None
    cost = _cost(attempt, run, outcome.progress, trained_seconds, used) if is_new else None
    weights = writer.stored[run.final_step(outcome.progress)]
    return Finished.of(weights, trained_tokens=outcome.progress.trained_tokens, report=report, cost=cost)


def _cost(attempt: _Attempt, run: Run, progress: Progress, training_seconds: float, memory: int) -> RunCost:
    sets = (run.data.held_out, run.data.general)
    held_out, general = (0 if each is None else len(each.token_ids) for each in sets)
    return RunCost(
        device=device_name(attempt.device),
        steps=progress.step,
        trained_tokens=progress.trained_tokens,
        held_out_tokens=held_out,
        general_tokens=general,
        training_seconds=training_seconds,
        evaluation_seconds=run.evaluation_seconds,
        memory_bytes=memory,
        forward_flops=run.forward_flops,
    )


def _evaluate(attempt: _Attempt, run: Run, progress: Progress) -> EvaluationReport | None:
    """Returns the evaluation report. If it cannot be measured, returns None and warns the job's owner: a
    trained model must not be lost because a figure about it is missing."""
    hooks = attempt.hooks
    hooks.report(message(beginning(run.data)))
    scores = run.scores(progress)
    if scores is None:
        text = (
            "Gain and forgetting are not measured: there is not enough memory for it, or the best checkpoint "
            "was made by an earlier release or evaluated on examples that are left out now."
        )
        hooks.report(message(text, "warn"))
        return None
    report = evaluation_report(*scores, run.data, trained_loss=run.final_loss(progress))
    hooks.report(message(end(report)))
    if attempt.spec.config.type == "qlora":
        hooks.report(message(_four_bit_message(report, attempt.spec.base), "info"))
    return report


def _resumed(start: StartingPoint) -> dict[int, WeightsRef]:
    """Returns the checkpoints of earlier attempts that may still become the job's model."""
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
