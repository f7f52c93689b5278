"""The evaluation report of a finished run: its model compared with the one it began as."""

from dataclasses import dataclass
from pathlib import Path

import torch

from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import JobSpec
from cluster.training.checkpoints.served import load_causal, load_classifier, load_served
from cluster.training.data.batches import pass_tokens
from cluster.training.data.datasets import Datasets
from cluster.training.evaluation.comparison import (
    ModelPair,
    compare_classes,
    compare_language,
    two_models,
    with_and_without,
)
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.reporting import PassProgress, message, report_if_slow
from cluster.training.starting_point import StartingPoint

_LOADING = "Loading the models to be evaluated"


@dataclass(frozen=True, slots=True)
class TunedFiles:
    """The served files of a tuned model."""

    folder: Path
    form: WeightsForm
    trained_loss: float | None
    """Its loss on the held-out examples as training measured it. After training from 4 bits, or with a merged
    and rounded model, the served model differs a little from the trained one."""


def evaluation_report(
    spec: JobSpec,
    data: Datasets,
    start: StartingPoint,
    tuned: TunedFiles,
    device: torch.device,
    hooks: RunHooks,
) -> EvaluationReport:
    """Compares the tuned model, loaded from its files as serving does, with the one that the job began with.
    Reports the beginning, the progress and the end."""
    hooks.report(message(_beginning(data)))
    found = _compare(spec, data, start, tuned, device, hooks)
    hooks.report(message(_end(found)))
    return found.model_copy(update={"trained_loss": tuned.trained_loss})


def _compare(
    spec: JobSpec,
    data: Datasets,
    start: StartingPoint,
    tuned: TunedFiles,
    device: torch.device,
    hooks: RunHooks,
) -> EvaluationReport:
    progress = PassProgress(hooks, "Evaluation")
    tokens = pass_tokens(spec.config, device)
    if spec.base.architecture == "encoder":
        with report_if_slow(hooks.report, _LOADING):
            model = load_classifier(tuned.folder, spec.base.dtype, device)
        return compare_classes(
            model, data.training, data.held_out, microbatch_tokens=tokens, progress=progress
        )
    with report_if_slow(hooks.report, _LOADING):
        pair = _load_pair(spec.base, start, tuned, device)
    return compare_language(
        pair,
        data.held_out,
        data.general,
        microbatch_tokens=tokens,
        beta=spec.config.beta,
        progress=progress,
    )


def _load_pair(base: BaseSpec, start: StartingPoint, files: TunedFiles, device: torch.device) -> ModelPair:
    tuned = load_served(files.folder, files.form, start.weights, base.dtype, device)
    if files.form == "lora" and start.adapter is None:
        return with_and_without(tuned)
    if start.adapter is not None:
        return two_models(load_served(start.adapter, start.form, start.weights, base.dtype, device), tuned)
    return two_models(load_causal(start.weights, base.dtype, device), tuned)


def _beginning(data: Datasets) -> str:
    sets = [(data.held_out, "held-out"), (data.general, "general")]
    counts = [f"{len(found)} {name}" for found, name in sets if found is not None]
    return f"Evaluating the tuned model on {' and '.join(counts) or 'no'} examples"


def _end(found: EvaluationReport) -> str:
    compared = [("held-out", found.held_out), ("general", found.general)]
    losses = [
        f"{name} loss {each.base_loss:.4f} before and {each.tuned_loss:.4f} after training"
        for name, each in compared
        if each is not None
    ]
    return f"Evaluation finished: {', '.join(losses) or 'there was nothing to measure'}"
