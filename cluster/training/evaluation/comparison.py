"""What training gained and what it cost: the tuned model as it is served, compared with the one it began
as."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cluster.contracts.evaluation import Comparison, EvaluationReport
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Dataset
from cluster.training.evaluation.evaluation import evaluate
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import ClassificationObjective, sequence_logprobs
from cluster.training.loop.reporting import PassProgress
from cluster.training.model.head import Head
from cluster.training.model.layout import head_of

KL_TOKENS = 256
"""How many positions are compared at once. Each takes two rows of logits."""


class Scorer(NamedTuple):
    model: Any
    head: Head


@dataclass(frozen=True, slots=True)
class ModelPair:
    """Both models, each ready to be scored inside its context. They may be one model with an adapter that is
    switched on and off."""

    base: Callable[[], AbstractContextManager[Scorer]]
    tuned: Callable[[], AbstractContextManager[Scorer]]


@dataclass
class _Totals:
    base_loss: float = 0.0
    tuned_loss: float = 0.0
    base_correct: float = 0.0
    tuned_correct: float = 0.0
    kl: float = 0.0

    def comparison(self, n_examples: int, units: int) -> Comparison:
        return Comparison(
            n_examples=n_examples,
            base_loss=self.base_loss / units,
            tuned_loss=self.tuned_loss / units,
            base_accuracy=self.base_correct / units,
            tuned_accuracy=self.tuned_correct / units,
        )


@torch.no_grad()
def compare_language(
    pair: ModelPair,
    held_out: Dataset | None,
    general: Dataset | None,
    *,
    microbatch_tokens: int,
    beta: float | None,
    progress: PassProgress,
) -> EvaluationReport:
    """Compares decoders. With `beta`, the held-out data are preferences and the base is the reference: it
    prefers neither answer, so its loss is ln 2 and its accuracy one half."""
    cut = partial(Batcher, microbatch_tokens=microbatch_tokens, layout="padded")
    own = None if held_out is None else cut(held_out)
    others = None if general is None else cut(general)
    for batcher in filter(None, (own, others)):
        progress.expect(batcher.n_passes(batcher.all_examples()))
    found = known = kl = None
    if own is not None and beta is not None:
        found = _on_preferences(pair, own, beta, progress)
    elif own is not None:
        found, _ = _on_tokens(pair, own, progress)
    if others is not None:
        known, kl = _on_tokens(pair, others, progress)
    return EvaluationReport(
        held_out=found,
        general=known,
        general_kl=kl,
        regression=None if known is None else known.tuned_loss - known.base_loss,
    )


def compare_classes(
    model: Any,
    training: Dataset,
    held_out: Dataset | None,
    *,
    microbatch_tokens: int,
    progress: PassProgress,
) -> EvaluationReport:
    """Compares encoders. The base has no classes, so its figures are those of guessing by how often each
    class occurs in the training file."""
    comparison = None
    if held_out is not None:
        objective = ClassificationObjective(model, is_per_token=held_out.is_per_token)
        batcher = Batcher(held_out, microbatch_tokens=microbatch_tokens, layout="masked")
        progress.expect(batcher.n_passes(batcher.all_examples()))
        tuned = evaluate(
            objective,
            batcher,
            batcher.all_examples(),
            Compute(model.device),
            before_pass=progress,
        )
        base_loss, base_accuracy = _by_frequency(training, held_out)
        comparison = Comparison(
            n_examples=len(held_out),
            base_loss=base_loss,
            tuned_loss=tuned.loss,
            base_accuracy=base_accuracy,
            tuned_accuracy=tuned.accuracy,
        )
    return EvaluationReport(held_out=comparison, general=None, general_kl=None, regression=None)


def _by_frequency(training: Dataset, held_out: Dataset) -> tuple[float, float]:
    assert training.class_ids is not None
    assert held_out.class_ids is not None
    counts = np.bincount(training.class_ids[training.mask], minlength=len(training.class_names)).astype(float)
    # A class that only the held-out data have counts as seen once; otherwise its loss would be infinite.
    shares = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    truth = held_out.class_ids[held_out.mask]
    return float(-np.log(shares[truth]).mean()), float((truth == shares.argmax()).mean())


def _on_tokens(
    pair: ModelPair, batcher: Batcher, before_pass: Callable[[], None]
) -> tuple[Comparison, float]:
    """The comparison, and the mean KL(base || tuned) of the learned positions."""
    totals = _Totals()
    everything = batcher.all_examples()
    for microbatch in batcher.microbatches(everything):
        before_pass()
        with pair.base() as (model, head):
            batch = microbatch.to(model.device)
            base_rows = head.rows(model, batch)
        with pair.tuned() as (model, head):
            tuned_rows = head.rows(model, batch)
        for chunk in torch.split(torch.arange(len(batch.targets), device=batch.targets.device), KL_TOKENS):
            with pair.base() as (model, head):
                base = head.logits(model, base_rows[chunk]).log_softmax(-1)
            with pair.tuned() as (model, head):
                tuned = head.logits(model, tuned_rows[chunk]).log_softmax(-1)
            _add(totals, base, tuned, batch.targets[chunk])
    units = batcher.n_units(everything)
    return totals.comparison(len(batcher), units), totals.kl / units


def _add(totals: _Totals, base: Tensor, tuned: Tensor, targets: Tensor) -> None:
    totals.base_loss -= float(base.gather(1, targets[:, None]).sum())
    totals.tuned_loss -= float(tuned.gather(1, targets[:, None]).sum())
    totals.base_correct += float((base.argmax(1) == targets).sum())
    totals.tuned_correct += float((tuned.argmax(1) == targets).sum())
    totals.kl += float((base.exp() * (base - tuned)).sum())


def _on_preferences(
    pair: ModelPair, batcher: Batcher, beta: float, before_pass: Callable[[], None]
) -> Comparison:
    totals = _Totals()
    everything = batcher.all_examples()
    for microbatch in batcher.microbatches(everything):
        before_pass()
        scores = []
        for context in (pair.base, pair.tuned):
            with context() as (model, head):
                scores.append(sequence_logprobs(model, head, microbatch.to(model.device)))
        rewards = beta * (scores[1] - scores[0])
        margins = rewards[0::2] - rewards[1::2]
        totals.tuned_loss -= float(torch.nn.functional.logsigmoid(margins).sum())
        totals.tuned_correct += float((margins > 0).sum())
    totals.base_loss = math.log(2) * len(batcher)
    totals.base_correct = len(batcher) / 2
    return totals.comparison(len(batcher), len(batcher))


def two_models(base: Any, tuned: Any) -> ModelPair:
    return ModelPair(
        partial(_always, Scorer(base, head_of(base))), partial(_always, Scorer(tuned, head_of(tuned)))
    )


def with_and_without(adapted: Any) -> ModelPair:
    """A pair from one model: PEFT's wrapper, whose adapter is switched off for the base."""
    scorer = Scorer(adapted, head_of(adapted.get_base_model()))
    return ModelPair(partial(_switched_off, scorer), partial(_always, scorer))


@contextmanager
def _always(scorer: Scorer) -> Iterator[Scorer]:
    yield scorer


@contextmanager
def _switched_off(scorer: Scorer) -> Iterator[Scorer]:
    with scorer.model.disable_adapter():
        yield scorer
