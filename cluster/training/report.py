"""The evaluation report of a run that has ended: its checkpoint beside the model it began as."""

from collections.abc import Callable
from pathlib import Path

import torch

from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.batches import pass_tokens
from cluster.training.comparison import compare_classes, compare_language, two_models, with_and_without
from cluster.training.datasets import Datasets
from cluster.training.served import load_causal, load_classifier, load_served
from cluster.training.start import Start


def evaluation_report(
    base: BaseSpec,
    config: TrainingConfig,
    data: Datasets,
    *,
    start: Start,
    form: WeightsForm,
    folder: Path,
    trained_loss: float | None,
    device: torch.device,
    beat: Callable[[], None],
) -> EvaluationReport:
    """By the checkpoint's files in `folder`, loaded as serving does: after training from 4 bits, or merged
    and rounded, the served model is not quite the one that was trained, whose loss on the held-out examples
    is `trained_loss`. `beat` is called before each pass."""
    report = _compared(base, config, data, start, form, folder, device, beat)
    return report.model_copy(update={"trained_loss": trained_loss})


def _compared(
    base: BaseSpec,
    config: TrainingConfig,
    data: Datasets,
    start: Start,
    form: WeightsForm,
    folder: Path,
    device: torch.device,
    beat: Callable[[], None],
) -> EvaluationReport:
    tokens = pass_tokens(config, device)
    if base.architecture == "encoder":
        model = load_classifier(folder, base.dtype, device)
        return compare_classes(model, data.training, data.held_out, microbatch_tokens=tokens, beat=beat)
    tuned = load_served(folder, form, start.weights, base.dtype, device)
    if form == "lora" and start.adapter is None:
        pair = with_and_without(tuned)
    elif start.adapter is not None:
        pair = two_models(load_served(start.adapter, start.form, start.weights, base.dtype, device), tuned)
    else:
        pair = two_models(load_causal(start.weights, base.dtype, device), tuned)
    return compare_language(
        pair,
        data.held_out,
        data.general,
        microbatch_tokens=tokens,
        beta=config.beta,
        beat=beat,
    )
