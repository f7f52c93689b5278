"""Training on Ray, as the runner sees it: an actor between the driver and the first worker."""

import asyncio
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from cluster.contracts.jobs import Command, JobSpec, RunnerEvent, RunnerState, Running
from cluster.training.failure import failed_state

logger = logging.getLogger(__name__)


class ControlActor:
    """Holds what one side has said until the other asks: events and the final state, and the command."""

    def __init__(self) -> None:
        self._events: list[RunnerEvent] = []
        self._state: RunnerState = Running()
        self._command: Command = "continue"
        self._has_ended = asyncio.Event()

    async def push(self, events: list[RunnerEvent]) -> Command:
        """For the first worker. Nothing is taken after the end."""
        if not self._has_ended.is_set():
            self._events += events
        return self._command

    async def finish(self, state: RunnerState) -> None:
        """For whoever knows first; the first word counts."""
        if not self._has_ended.is_set():
            self._state = state
            self._has_ended.set()

    async def order(self, command: Command) -> None:
        self._command = command

    async def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_ended.wait(), wait_seconds)
        events, self._events = self._events, []
        return events, self._state


class RayRun:
    """A `supervise.Run` that trains on the Ray cluster this process belongs to. `scratch` is a folder for
    Ray Train's own notes."""

    def __init__(self, spec: JobSpec, scratch: Path) -> None:
        ray.init()
        self._actor: Any = ray.remote(num_cpus=0)(ControlActor).remote()
        threading.Thread(target=self._fit, args=(spec, scratch), name="fit", daemon=True).start()

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        taken: tuple[list[RunnerEvent], RunnerState] = ray.get(self._actor.take.remote(wait_seconds))
        return taken

    def pause(self) -> None:
        ray.get(self._actor.order.remote("pause"))

    def _fit(self, spec: JobSpec, scratch: Path) -> None:
        """In a thread of its own, because Ray Train blocks; its end is told through the actor."""
        # Here, because it takes seconds to import, and the actor starts meanwhile.
        from cluster.training.ray_run import fit

        try:
            fit(spec, self._actor, scratch)
        except Exception as error:
            logger.exception("Training ended with an error.")
            ray.get(self._actor.finish.remote(failed_state(error)))
