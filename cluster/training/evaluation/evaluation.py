"""Scores a model on a data set without training it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from cluster.contracts.errors import TrainingFailed
from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.data.dataset import Indices
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import Objective, Sums
from cluster.training.loop.out_of_memory import can_go_on, in_fitting_passes
from cluster.training.model.interleaving import Interleaving


class Score(NamedTuple):
    loss: float
    """Nats per learned token, pair or label."""
    accuracy: float
    f1: float | None = None
    """Mean F1 over the classes that occur or were predicted."""


class Tally(NamedTuple):
    """The contribution of one worker's share to a score."""

    totals: Tensor
    """float64 (2,): the loss, and the number of correct units."""
    confusion: Tensor
    """float64 (true class, predicted class)."""

    @classmethod
    def empty(cls, batcher: Batcher, compute: Compute) -> "Tally":
        classes = len(batcher.dataset.class_names)
        sizes = ((2,), (classes, classes))
        return cls(*(torch.zeros(size, dtype=torch.float64, device=compute.device) for size in sizes))

    def score(self, units: int) -> Score:
        """The score of the workers' shares, added up."""
        loss_sum, n_correct = self.totals.tolist()
        f1 = macro_f1(self.confusion) if self.confusion.numel() else None
        return Score(loss_sum / units, n_correct / units, f1)


def evaluate(
    objective: Objective,
    batcher: Batcher,
    examples: Indices,
    compute: Compute,
    *,
    before_pass: Callable[[], None] = lambda: None,
) -> Score | None:
    """Returns the mean scores over `examples`. Every worker computes a share and gets the whole result.
    Leaves the model in training mode. Returns None if each worker holds its own model and not all of them
    have enough memory."""
    objective.model.eval()
    lacks_memory = torch.zeros((), device=compute.device)
    try:
        found = tally(objective, batcher, examples, compute, before_pass=before_pass)
    except TrainingFailed as error:
        if not can_go_on(error, compute):
            raise
        found = Tally.empty(batcher, compute)
        lacks_memory += 1
    objective.model.train()
    for sums in (*found, lacks_memory):
        compute.world.add_up(sums)
    return None if lacks_memory else found.score(batcher.n_units(examples))


@torch.no_grad()
def tally(
    objective: Objective,
    batcher: Batcher,
    examples: Indices,
    compute: Compute,
    *,
    before_pass: Callable[[], None],
    interleaving: Interleaving = Interleaving(),
) -> Tally:
    """Scores this worker's share of `examples`. Raises the errors of `in_fitting_passes`."""

    def sums_of(microbatch: Microbatch) -> tuple[Sums, Tensor]:
        before_pass()
        batch = microbatch.to(compute.device)
        with compute.autocast():
            return objective(batch), batch.targets

    def score() -> Tally:
        found = Tally.empty(batcher, compute)
        passes = (partial(sums_of, each) for each in batcher.microbatches(examples))
        for sums, targets in interleaving.run(passes):
            found.totals.add_(torch.stack([sums.loss.double(), sums.correct.double()]))
            _count(found.confusion, sums, targets)
        return found

    return in_fitting_passes(batcher, compute, score, interleaving)


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
