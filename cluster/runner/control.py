"""The runner's side of training on Ray: an actor that connects the driver with the first worker."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.contracts.jobs import (
    Command,
    Failed,
    JobSpec,
    RunnerEvent,
    RunnerMessage,
    RunnerState,
    Running,
    Stopped,
    WorkersStarted,
)
from cluster.training.failure import failed_state

logger = logging.getLogger(__name__)

WAIT_REPORT_SECONDS = 15.0
"""How long a run waits for devices before it says so. Workers need a few seconds to start in any case."""

ANSWER_SECONDS = 0.1
"""How long an idle actor needs to answer, beyond the time that it waits."""


class ControlActor:
    """Holds events, the final state and the command until the other side fetches them."""

    def __init__(self) -> None:
        self._events: list[RunnerEvent] = []
        self._state: RunnerState = Running()
        self._command: Command = "continue"
        self._has_started = asyncio.Event()
        self._has_ended = asyncio.Event()

    async def start(self) -> bool:
        """Called by each worker once it has its device. Returns whether it shall train."""
        if not self._has_started.is_set():
            self._has_started.set()
            await self.push([WorkersStarted()])
        return not self._has_ended.is_set()

    async def wait_for_start(self) -> None:
        await self._has_started.wait()

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
        """A run that still waits for devices has nothing to save, and ends."""
        self._command = command
        if command == "pause" and not self._has_started.is_set():
            await self.finish(Stopped())

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
            from cluster.training.ray_run import fit, resources_per_worker

            reporting = (spec.config.num_workers, resources_per_worker(spec.device))
            threading.Thread(target=self._report_wait, args=reporting, name="wait", daemon=True).start()
            fit(spec, self._actor, scratch)
        except Exception as error:
            logger.error("Training ended with an error: %s", error)
            self._end(_lost(error))

    def _report_wait(self, num_workers: int, each: dict[str, int]) -> None:
        """Tells the job's owner what the run waits for, whenever that has changed, until it starts."""
        import ray

        reported, started = "", self._actor.wait_for_start.remote()
        while not ray.wait([started], timeout=WAIT_REPORT_SECONDS)[0]:
            message = waiting_message(num_workers, each, ray.cluster_resources(), ray.available_resources())
            if message != reported:
                self._actor.push.remote([RunnerMessage(message=message)])
                reported = message

    def _end(self, failure: Failed) -> None:
        """Sets the final state through the actor, which holds the first worker's last events and may have its
        final state already."""
        import ray

        if self._actor is None:
            self._failure = failure
            self._is_ready.set()
        else:
            ray.get(self._actor.finish.remote(failure))


def waiting_message(
    num_workers: int, each: Mapping[str, float], in_all: Mapping[str, float], free: Mapping[str, float]
) -> str:
    """`each` is what one worker reserves; `in_all` and `free` are the cluster's resources, in Ray's words."""
    needs = " and ".join(f"{number * num_workers:g} {name}(s)" for name, number in each.items())
    has = " and ".join(f"{free.get(name, 0):g} of {in_all.get(name, 0):g} {name}(s)" for name in each)
    return f"The job waits for the cluster: it needs {needs} for {num_workers} worker(s), and {has} are free."


def _lost(error: Exception) -> Failed:
    return failed_state(error, "The training process", code="worker_lost")
