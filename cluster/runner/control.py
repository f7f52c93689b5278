"""The runner's side of training on Ray: an actor that connects the driver with the first worker."""

import asyncio
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.contracts.jobs import Command, Failed, JobSpec, RunnerEvent, RunnerState, Running
from cluster.training.failure import failed_state

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 0.1
"""How long an idle actor needs to answer, beyond the time that it waits."""


class ControlActor:
    """Holds events, the final state and the command until the other side fetches them."""

    def __init__(self) -> None:
        self._events: list[RunnerEvent] = []
        self._state: RunnerState = Running()
        self._command: Command = "continue"
        self._has_ended = asyncio.Event()

    async def push(self, events: list[RunnerEvent]) -> Command:
        """Called by the first worker. Events that come after the final state are dropped."""
        if not self._has_ended.is_set():
            self._events += events
        return self._command

    async def finish(self, state: RunnerState) -> None:
        """Called by the first worker and by the driver. The first state counts."""
        if not self._has_ended.is_set():
            self._state = state
            self._has_ended.set()

    async def set_command(self, command: Command) -> None:
        self._command = command

    async def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_ended.wait(), wait_seconds)
        events, self._events = self._events, []
        return events, self._state


class RayRun:
    """A `supervise.SupervisedRun` that trains on the Ray cluster of this process.

    Slow work happens in a thread, so that the runner keeps talking to the service.
    """

    def __init__(self, spec: JobSpec, scratch: Path) -> None:
        """`scratch` is a folder for Ray Train's own files."""
        self._actor: Any = None
        self._pending_take: Any = None
        """A call of the actor's `take` that has not returned yet. The actor gets only the CPU time that
        training leaves it, and the heartbeat must not wait for it."""
        self._is_ready = threading.Event()
        self._failure: Failed | None = None
        threading.Thread(target=self._train, args=(spec, scratch), name="train", daemon=True).start()

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        if not self._is_ready.wait(wait_seconds):
            return [], Running()
        if self._failure is not None:
            return [], self._failure
        import ray

        if self._pending_take is None:
            self._pending_take = self._actor.take.remote(wait_seconds)
        ready, _ = ray.wait([self._pending_take], timeout=wait_seconds + ANSWER_SECONDS)
        if not ready:
            return [], Running()
        pending, self._pending_take = self._pending_take, None
        try:
            taken: tuple[list[RunnerEvent], RunnerState] = ray.get(pending)
        except ray.exceptions.RayError as error:
            return [], _lost(error)
        return taken

    def pause(self) -> None:
        if self._actor is not None:
            self._actor.set_command.remote("pause")

    def _train(self, spec: JobSpec, scratch: Path) -> None:
        try:
            import ray

            ray.init()
            self._actor = ray.remote(num_cpus=0)(ControlActor).remote()
            self._is_ready.set()
            from cluster.training.ray_run import fit

            fit(spec, self._actor, scratch)
        except Exception as error:
            logger.error("Training ended with an error: %s", error)
            self._end(_lost(error))

    def _end(self, failure: Failed) -> None:
        """Sets the final state through the actor, which holds the first worker's last events and may have its
        final state already."""
        import ray

        if self._actor is None:
            self._failure = failure
            self._is_ready.set()
        else:
            ray.get(self._actor.finish.remote(failure))


def _lost(error: Exception) -> Failed:
    return failed_state(error, "The training process", code="worker_lost")
