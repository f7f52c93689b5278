"""Runs an attempt in this process and records what it reports."""

from dataclasses import dataclass, field

import torch

from cluster.contracts.jobs import (
    CheckpointSaved,
    Command,
    Finished,
    JobSpec,
    RunnerEvent,
    StepMetrics,
    Stopped,
)
from cluster.storage.store import ObjectStore
from cluster.training.attempt import run_attempt
from cluster.training.loop.hooks import RunHooks


@dataclass
class Recording:
    events: list[RunnerEvent] = field(default_factory=list)
    result: Finished | Stopped | None = None

    @property
    def steps(self) -> list[StepMetrics]:
        return [event for event in self.events if isinstance(event, StepMetrics)]

    @property
    def checkpoints(self) -> list[CheckpointSaved]:
        return [event for event in self.events if isinstance(event, CheckpointSaved)]

    @property
    def losses(self) -> list[float]:
        return [step.train_loss for step in self.steps]


def record(
    spec: JobSpec, store: ObjectStore, *, stop_after: int | None = None, stop_with: Command = "pause"
) -> Recording:
    """Trains. With `stop_after`, the command `stop_with` arrives during the step of that number."""
    recording = Recording()

    def command() -> Command:
        return stop_with if stop_after is not None and len(recording.steps) >= stop_after - 1 else "continue"

    hooks = RunHooks(recording.events.append, command)
    recording.result = run_attempt(spec, store, hooks, device=torch.device("cpu"))
    return recording
