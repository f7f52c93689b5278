"""Scoring a model on a data set without training it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Indices
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import Objective, Sums


class Score(NamedTuple):
    loss: float
    """Nats per learned token, pair or label."""
    accuracy: float
    f1: float | None = None
    """For classes: the mean F1 over those that occur or were predicted."""


@torch.no_grad()
def evaluate(
    objective: Objective,
    batcher: Batcher,
    examples: Indices,
    compute: Compute,
    *,
    before_pass: Callable[[], None] = lambda: None,
) -> Score:
    """The mean scores over `examples`. Every worker computes a share and gets the whole. Leaves the model in
    training mode."""
    device, world = compute.device, compute.world
    classes = len(batcher.dataset.class_names)
    totals = torch.zeros(2, dtype=torch.float64, device=device)
    confusion = torch.zeros(classes, classes, dtype=torch.float64, device=device)
    objective.model.eval()
    for microbatch in batcher.microbatches(examples):
        before_pass()
        batch = microbatch.to(device)
        with compute.autocast():
            sums = objective(batch)
        totals += torch.stack([sums.loss.double(), sums.correct.double()])
        _count(confusion, sums, batch.targets)
    objective.model.train()
    world.add_up(totals)
    world.add_up(confusion)
    units = batcher.n_units(examples)
    loss_sum, n_correct = totals.tolist()
    return Score(loss_sum / units, n_correct / units, macro_f1(confusion) if classes else None)


def macro_f1(confusion: Tensor) -> float:
    """The mean F1 of a matrix of counts (true class, predicted class)."""
    hits = confusion.diagonal()
    occurring = confusion.sum(0) + confusion.sum(1)
    counted = occurring > 0
    return float((2 * hits[counted] / occurring[counted]).mean())


def _count(confusion: Tensor, sums: Sums, targets: Tensor) -> None:
    if sums.predictions is not None and confusion.numel():
        places = targets * confusion.shape[1] + sums.predictions
        confusion += torch.bincount(places, minlength=confusion.numel()).view_as(confusion)
