"""The progress of a run, and which epoch was its best."""

import math
from dataclasses import dataclass, replace

from cluster.contracts.hyperparameters import EarlyStopping


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run. With the weights and the optimizer's moments, this is all that a resume needs.

    Batches and random numbers are functions of (seed, step), so there is no generator state to keep.
    """

    step: int = 0
    """Optimizer steps done."""
    trained_tokens: int = 0
    best_step: int = 0
    """The last step of the epoch with the lowest validation loss so far; 0 if there is none yet."""
    best_loss: float = math.inf
    stale_epochs: int = 0
    """Epochs since `best_step`."""
    last_loss: float | None = None
    """The validation loss at the end of the last epoch."""


def update_best(progress: Progress, loss: float, rule: EarlyStopping | None) -> Progress:
    """Returns the progress after an epoch with this validation loss: either a new best epoch, or one more
    stale epoch."""
    progress = replace(progress, last_loss=loss)
    min_delta = 0.0 if rule is None else rule.min_delta
    if loss < progress.best_loss - min_delta:
        return replace(progress, best_step=progress.step, best_loss=loss, stale_epochs=0)
    return replace(progress, stale_epochs=progress.stale_epochs + 1)


def is_stale(progress: Progress, rule: EarlyStopping | None) -> bool:
    """Whether early stopping ends the run here."""
    return rule is not None and progress.stale_epochs >= rule.patience
