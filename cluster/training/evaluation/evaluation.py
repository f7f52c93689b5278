"""Scores of a model on a data set, without learning."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Indices
from cluster.training.loop.objectives import Objective, Sums
from cluster.training.world import World


class Score(NamedTuple):
    loss: float
    """Nats per learned token, pair or label."""
    accuracy: float
    f1: float | None = None
    """Of classes: the mean over those that occur or were chosen."""


@torch.no_grad()
def evaluate(
    objective: Objective,
    batcher: Batcher,
    examples: Indices,
    *,
    autocast: Callable[[], Any],
    device: torch.device,
    world: World,
    heartbeat: Callable[[], None] = lambda: None,
) -> Score:
    """Of the mean over `examples`; every worker takes a share and gets the whole. Leaves the model in
    training mode. `heartbeat` is called before each pass."""
    classes = len(batcher.dataset.class_names)
    totals = torch.zeros(2, dtype=torch.float64, device=device)
    confusion = torch.zeros(classes, classes, dtype=torch.float64, device=device)
    objective.model.eval()
    for microbatch in batcher.microbatches(examples):
        heartbeat()
        batch = microbatch.to(device)
        with autocast():
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
    """Of counts (true class, chosen class)."""
    hits = confusion.diagonal()
    occurring = confusion.sum(0) + confusion.sum(1)
    counted = occurring > 0
    return float((2 * hits[counted] / occurring[counted]).mean())


def _count(confusion: Tensor, sums: Sums, targets: Tensor) -> None:
    if sums.predictions is not None and confusion.numel():
        places = targets * confusion.shape[1] + sums.predictions
        confusion += torch.bincount(places, minlength=confusion.numel()).view_as(confusion)
