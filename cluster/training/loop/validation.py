"""Validation during a run: a few examples at regular steps, and all of them at the end of each epoch."""

import numpy as np

from cluster.training.data.batches import Batcher, Step
from cluster.training.data.dataset import Indices
from cluster.training.evaluation.evaluation import Score, evaluate
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.objectives import Objective
from cluster.training.loop.reporting import PassProgress, message
from cluster.training.loop.throughput import FORWARD_SHARE, Throughput

VALIDATIONS = 20
"""Number of times in a run that a few examples are scored, besides all of them at the end of each epoch."""


class Validation:
    def __init__(
        self, objective: Objective, batcher: Batcher, compute: Compute, hooks: RunHooks, *, size: int
    ) -> None:
        """`size` is the number of examples that are scored between the ends of epochs."""
        self._objective, self._batcher, self._compute, self._hooks = objective, batcher, compute, hooks
        self._size = size
        self._everything = batcher.all_examples()
        self._fits = True

    def after(
        self, step: Step, total_steps: int, throughput: Throughput
    ) -> tuple[Score | None, Score | None]:
        """Returns the scores that are due after this step: of a few examples, and of all. A score is None if
        it is not due, and always once there was not enough memory."""
        few = everything = None
        if self._fits and _is_due(step, total_steps):
            few = self._score(self._few(step, total_steps), throughput)
        if self._fits and step.ends_epoch:
            everything = self._score(self._everything, throughput)
        return few, everything

    def work(self, step: Step, total_steps: int) -> float:
        """Returns the cost of the scoring that is due after this step, in the unit of `Throughput`."""
        tokens = 0
        if _is_due(step, total_steps):
            tokens += self._batcher.n_tokens(self._few(step, total_steps))
        if step.ends_epoch:
            tokens += self._batcher.n_tokens(self._everything)
        return tokens * FORWARD_SHARE

    def _few(self, step: Step, total_steps: int) -> Indices:
        """Returns the next few examples, starting again with the first after the last."""
        turn = step.number // _interval(total_steps)
        size = min(self._size, len(self._everything))
        return self._everything.take(np.arange(turn * size, (turn + 1) * size), mode="wrap")

    def _score(self, examples: Indices, throughput: Throughput) -> Score | None:
        progress = PassProgress(self._hooks, "Validation")
        progress.expect(self._batcher.n_passes(examples))
        score = evaluate(self._objective, self._batcher, examples, self._compute, before_pass=progress)
        throughput.add_scored(self._batcher.n_tokens(examples))
        if score is None:
            self._fits = False
            text = "The held-out examples do not fit into memory: from here on there is no validation loss."
            self._hooks.report(message(text, "warn"))
        return score


def _is_due(step: Step, total_steps: int) -> bool:
    return (step.number + 1) % _interval(total_steps) == 0


def _interval(total_steps: int) -> int:
    """Returns the number of steps between two scores of a few examples."""
    return max(1, total_steps // VALIDATIONS)
