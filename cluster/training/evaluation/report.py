"""The evaluation report of a run that has ended: its checkpoint beside the model it began as."""

from collections.abc import Callable
from pathlib import Path

import torch

from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.checkpoints.served import load_causal, load_classifier, load_served
from cluster.training.data.batches import pass_tokens
from cluster.training.data.datasets import Datasets
from cluster.training.evaluation.comparison import (
    Pair,
    compare_classes,
    compare_language,
    two_models,
    with_and_without,
)
from cluster.training.loop.reporting import PassProgress, Report, message, report_if_slow
from cluster.training.starting_point import StartingPoint

_LOADING = "Loading the models to be evaluated"


def evaluation_report(
    base: BaseSpec,
    config: TrainingConfig,
    data: Datasets,
    *,
    start: StartingPoint,
    form: WeightsForm,
    folder: Path,
    trained_loss: float | None,
    device: torch.device,
    report: Report,
    heartbeat: Callable[[], None],
) -> EvaluationReport:
    """By the checkpoint's files in `folder`, loaded as serving does: after training from 4 bits, or merged
    and rounded, the served model is not quite the one that was trained, whose loss on the held-out examples
    is `trained_loss`. `report` hears of the beginning, the progress and the end; `heartbeat` is called before
    each pass."""
    report(message(_beginning(data)))
    passes = PassProgress(report, "Evaluation", heartbeat=heartbeat)
    found = _compared(base, config, data, start, form, folder, device, passes, report)
    report(message(_end(found)))
    return found.model_copy(update={"trained_loss": trained_loss})


def _compared(
    base: BaseSpec,
    config: TrainingConfig,
    data: Datasets,
    start: StartingPoint,
    form: WeightsForm,
    folder: Path,
    device: torch.device,
    passes: PassProgress,
    report: Report,
) -> EvaluationReport:
    tokens = pass_tokens(config, device)
    if base.architecture == "encoder":
        with report_if_slow(report, _LOADING):
            model = load_classifier(folder, base.dtype, device)
        return compare_classes(model, data.training, data.held_out, microbatch_tokens=tokens, passes=passes)
    with report_if_slow(report, _LOADING):
        pair = _pair(base, start, form, folder, device)
    return compare_language(
        pair,
        data.held_out,
        data.general,
        microbatch_tokens=tokens,
        beta=config.beta,
        passes=passes,
    )


def _pair(
    base: BaseSpec, start: StartingPoint, form: WeightsForm, folder: Path, device: torch.device
) -> Pair:
    tuned = load_served(folder, form, start.weights, base.dtype, device)
    if form == "lora" and start.adapter is None:
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
