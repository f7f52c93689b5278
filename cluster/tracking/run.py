"""The operations that every tracker offers on a run."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cluster.contracts.jobs import StepMetrics
from cluster.tracking.messages import Outcome

_NOT_METRICS = {"type", "created_at", "step", "total_steps", "eta_seconds"}


class TrackerError(Exception):
    """The tracker cannot be used. The message is for the job's owner."""


class TrackerRun(Protocol):
    """A run that has been opened in its tracker. Every method may take long, and may raise anything."""

    url: str | None
    """Page of the run, if there is one."""
    last_step: int
    """Newest step that the tracker has from an earlier attempt; 0 if it has none."""

    def log(self, steps: Sequence[StepMetrics]) -> None:
        """Adds steps that the tracker does not have, in order."""
        ...

    def summarize(self, values: Mapping[str, float | str]) -> None: ...

    def end(self, outcome: Outcome) -> None:
        """Returns once the tracker has everything."""
        ...


def metrics_of(step: StepMetrics) -> dict[str, float]:
    """Returns the measurements of a step, under the names in the job's events."""
    return step.model_dump(exclude=_NOT_METRICS, exclude_none=True)
