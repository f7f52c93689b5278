"""The interface between a run and whatever started it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from cluster.contracts.jobs import RunnerEvent, StepMetrics, WorkerCommand
from cluster.training.loop.progress import Progress


class SaveCheckpoint(Protocol):
    def __call__(self, progress: Progress, metrics: StepMetrics, *, is_served: bool) -> None:
        """Saves weights, optimizer and progress and, with `is_served`, also the weights for serving. Every
        worker calls it after the same steps."""


@dataclass(frozen=True, slots=True)
class RunHooks:
    """The functions that a run calls while it trains, and the clock that it reads."""

    report: Callable[[RunnerEvent], None]
    """Receives every event. May be called from any thread."""
    command: Callable[[], WorkerCommand] = lambda: "continue"
    """Returns the command to obey after the current step. The first worker's command counts for all."""
    checkpoint: SaveCheckpoint = lambda progress, metrics, *, is_served: None
    is_saving: Callable[[], bool] = lambda: False
    """Whether a checkpoint is still being stored. A checkpoint that is due only because of elapsed time waits
    for it."""
    heartbeat: Callable[[], None] = lambda: None
    """Called before every pass through a model, to show that the run is alive."""
    patience_seconds: float | None = None
    """How long other workers, and whatever watches them, wait for this one. None means for ever."""
    clock: Callable[[], float] = time.monotonic
    """Seconds."""

    def without_reports(self) -> "RunHooks":
        """Returns the same hooks for a worker that must not report."""
        return replace(self, report=lambda event: None)
