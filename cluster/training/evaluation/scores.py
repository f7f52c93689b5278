"""Scores of the model in training on the held-out and the general examples. All workers share the work, and
the model is never loaded again."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cluster.contracts.errors import TrainingFailed
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Dataset
from cluster.training.evaluation.distributions import Distributions, read_tokens
from cluster.training.evaluation.evaluation import Score, tally
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import Objective
from cluster.training.loop.out_of_memory import can_go_on
from cluster.training.model.head import Head
from cluster.training.model.interleaving import Interleaving


class Scores(NamedTuple):
    held_out: Score | None
    general: Score | None
    general_kl: float | None = None
    """Mean KL(model before training || this model) at the learned tokens of the general set, in nats."""

    def tensor(self) -> Tensor:
        """Packs the scores into float64 (5,), for a checkpoint."""
        kl = math.nan if self.general_kl is None else self.general_kl
        return torch.tensor([*_flat(self.held_out), *_flat(self.general), kl], dtype=torch.float64)

    @classmethod
    def of_tensor(cls, values: Tensor) -> "Scores":
        held_loss, held_accuracy, loss, accuracy, kl = values.tolist()
        return cls(
            None if math.isnan(held_accuracy) else Score(held_loss, held_accuracy),
            None if math.isnan(accuracy) else Score(loss, accuracy),
            None if math.isnan(accuracy) else kl,
        )


class Before(NamedTuple):
    """Scores of the model before training."""

    scores: Scores
    distributions: Distributions | None
    """Predictions on the general set."""

    def tensors(self) -> dict[str, Tensor]:
        kept = {} if self.distributions is None else self.distributions._asdict()
        return {"scores": self.scores.tensor(), **kept}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> "Before | None":
        """Restores what `tensors` returned; None if it is not among these."""
        if "scores" not in tensors:
            return None
        kept = [tensors[name] for name in Distributions._fields if name in tensors]
        return cls(Scores.of_tensor(tensors["scores"]), Distributions(*kept) if kept else None)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores the model in `objective` as it is when a method is called, in passes that `interleaving` runs.
    All workers call the methods together."""

    objective: Objective
    head: Head
    training: Dataset
    held_out: Batcher | None
    general: Batcher | None
    compute: Compute
    is_continued: bool = False
    """Whether the model began with another job's weights, and so, if it is an encoder, with its classes."""

    def n_passes(self) -> int:
        """Returns the number of passes that scoring one model on both sets takes."""
        return sum(each.n_passes(each.all_examples()) for each in self._sets())

    def before(
        self, before_pass: Callable[[], None], interleaving: Interleaving = Interleaving()
    ) -> Before | None:
        """The model before training. For preferences it is the reference, which prefers neither answer. An
        encoder's base, unless it is another job's model, has no classes yet: its scores are those of guessing
        by how often each class occurs in the training file. None if there is not enough memory."""
        given = self._given()
        kept: list[Distributions] = []
        general = self.general

        def keep(places: Tensor, logprobs: Tensor) -> Tensor:
            assert general is not None
            if not kept:
                positions = general.n_units(general.all_examples())
                kept.append(Distributions.empty(positions, logprobs.shape[1], self.compute.device))
            kept[0].keep(places, logprobs)
            return torch.zeros((), device=self.compute.device)

        found = self._score(self.held_out if given is None else None, keep, before_pass, interleaving)
        if found is None:
            return None
        for values in kept[0] if kept else ():
            self.compute.world.add_up(values)
        scores = found if given is None else found._replace(held_out=given)
        return Before(scores, kept[0] if kept else None)

    def after(
        self, before: Before, before_pass: Callable[[], None], interleaving: Interleaving = Interleaving()
    ) -> Scores | None:
        """Scores the tuned model. Returns None if there is not enough memory."""

        def compare(places: Tensor, logprobs: Tensor) -> Tensor:
            assert before.distributions is not None
            return on_device.divergence(places, logprobs)

        if before.distributions is not None:
            on_device = Distributions(*(each.to(self.compute.device) for each in before.distributions))
        return self._score(self.held_out, compare, before_pass, interleaving)

    def _score(
        self,
        held_out: Batcher | None,
        diverge: Callable[[Tensor, Tensor], Tensor],
        before_pass: Callable[[], None],
        interleaving: Interleaving,
    ) -> Scores | None:
        """`diverge(places, logprobs)` returns the divergence summed over some tokens of the general set."""
        totals = torch.zeros(6, dtype=torch.float64, device=self.compute.device)
        with _evaluating(self.objective):
            try:
                if held_out is not None:
                    everything = held_out.all_examples()
                    found = tally(
                        self.objective,
                        held_out,
                        everything,
                        self.compute,
                        before_pass=before_pass,
                        interleaving=interleaving,
                    )
                    totals[:2] = found.totals
                if self.general is not None:
                    totals[2:5] = self._on_general(self.general, diverge, before_pass, interleaving)
            except TrainingFailed as error:
                if not can_go_on(error, self.compute):
                    raise
                totals[5] = 1
        self.compute.world.add_up(totals)
        if totals[5]:
            return None
        scores = Scores(_score(totals[:2], held_out), _score(totals[2:4], self.general))
        if self.general is None:
            return scores
        units = self.general.n_units(self.general.all_examples())
        return scores._replace(general_kl=float(totals[4]) / units)

    def _on_general(
        self,
        general: Batcher,
        diverge: Callable[[Tensor, Tensor], Tensor],
        before_pass: Callable[[], None],
        interleaving: Interleaving,
    ) -> Tensor:
        def count(places: Tensor, targets: Tensor, logprobs: Tensor) -> Tensor:
            loss = -logprobs.gather(1, targets[:, None]).sum()
            correct = (logprobs.argmax(1) == targets).sum()
            return torch.stack([loss.double(), correct.double(), diverge(places, logprobs).double()])

        return read_tokens(
            self.objective,
            self.head,
            general,
            self.compute,
            count,
            before_pass=before_pass,
            interleaving=interleaving,
        )

    def _given(self) -> Score | None:
        """Returns the score on the held-out examples if it can be had without running the model."""
        if self.held_out is None:
            return None
        dataset = self.held_out.dataset
        if dataset.format == "preference":
            return Score(math.log(2), 0.5)
        if dataset.class_ids is None or self.is_continued:
            return None
        return _by_frequency(self.training, dataset)

    def _sets(self) -> list[Batcher]:
        return [each for each in (self.held_out, self.general) if each is not None]


@contextmanager
def _evaluating(objective: Objective) -> Iterator[None]:
    objective.model.eval()
    try:
        yield
    finally:
        objective.model.train()


def _score(totals: Tensor, batcher: Batcher | None) -> Score | None:
    if batcher is None:
        return None
    loss, correct = (totals / batcher.n_units(batcher.all_examples())).tolist()
    return Score(loss, correct)


def _by_frequency(training: Dataset, held_out: Dataset) -> Score:
    assert training.class_ids is not None
    assert held_out.class_ids is not None
    counts = np.bincount(training.class_ids[training.mask], minlength=len(training.class_names)).astype(float)
    # A class that occurs only in the held-out data counts as seen once; otherwise its loss would be infinite.
    shares = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    truth = held_out.class_ids[held_out.mask]
    return Score(float(-np.log(shares[truth]).mean()), float((truth == shares.argmax()).mean()))


def _flat(score: Score | None) -> list[float]:
    return [math.nan, math.nan] if score is None else [score.loss, score.accuracy]
