"""The runner's side of training on Ray: an actor that connects the driver with the first worker."""

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from cluster.contracts.jobs import (
    Failed,
    JobSpec,
    Placement,
    RunnerEvent,
    RunnerMessage,
    RunnerState,
    Running,
    StepMetrics,
    Stopped,
    WorkerCommand,
    WorkersStarted,
)
from cluster.training.failure import failed_state
from cluster.worker_resources import resources_per_worker

logger = logging.getLogger(__name__)

PLACING_SECONDS = 120.0
"""How long a gang waits for the exact nodes that the scheduler chose. After that, something else must have
taken them."""

LOOK_SECONDS = 2.0
"""Interval between two looks at the cluster's nodes, to see whether those of the run are there or about to
go."""

WAIT_REPORT_SECONDS = 15.0
"""How long a run waits for devices before it says so. Workers need a few seconds to start in any case."""

ANSWER_SECONDS = 0.1
"""Time that an idle actor needs to answer, beyond the time that it waits."""


class ControlActor:
    """Holds events, the final state and the command until the other side fetches them."""

    def __init__(self) -> None:
        self._nodes: Mapping[str, int] = {}
        self._events: list[RunnerEvent] = []
        self._state: RunnerState = Running()
        self._command: WorkerCommand = "continue"
        self._reason: str | None = None
        self._has_devices = asyncio.Event()
        self._has_trained = False
        self._has_ended = asyncio.Event()

    async def hold(self, nodes: Mapping[str, int]) -> None:
        """Called once the gang has all its devices, with the number of its workers on each node."""
        self._nodes = nodes
        self._has_devices.set()
        await self.push([WorkersStarted(nodes=dict(nodes))])

    async def start(self) -> bool:
        """Called by each worker before it trains. Returns whether it may train."""
        return not self._has_ended.is_set()

    async def wait_for_devices(self) -> None:
        await self._has_devices.wait()

    async def nodes(self) -> list[str]:
        """Nodes on which the gang has devices."""
        return list(self._nodes)

    async def push(self, events: list[RunnerEvent]) -> WorkerCommand:
        """Called by the first worker. Events that arrive after the final state are dropped."""
        if not self._has_ended.is_set():
            self._has_trained = self._has_trained or any(isinstance(event, StepMetrics) for event in events)
            self._events += events
        return self._command

    async def finish(self, state: RunnerState) -> None:
        """Called by the first worker and by the driver. The first state counts."""
        if not self._has_ended.is_set():
            if isinstance(state, Stopped) and state.reason is None:
                state = Stopped(reason=self._reason)
            self._state = state
            self._has_ended.set()

    async def pause(self) -> None:
        if self._command == "continue":
            await self._end_with("pause")

    async def leave(self, reason: str) -> None:
        """Pauses the run although nobody asked for it. Less is stored than for a pause that was requested."""
        if self._command == "continue":
            self._reason = reason
        await self._end_with("leave")

    async def _end_with(self, command: WorkerCommand) -> None:
        """Ends the run. One that has taken no step has nothing to save, and ends at once, whatever its
        workers are doing, because fetching and loading a large model take long. The workers are killed when
        the driver ends, as for a cancelled job."""
        self._command = command
        if not self._has_trained:
            await self.finish(Stopped())

    async def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_ended.wait(), wait_seconds)
        events, self._events = self._events, []
        return events, self._state


class RayRun:
    """A `supervise.SupervisedRun` that trains on the Ray cluster of this process.

    Slow work happens in a thread, so that the runner keeps communicating with the service.
    """

    def __init__(self, spec: JobSpec) -> None:
        self._actor: Any = None
        self._pending_take: Any = None
        """A call of the actor's `take` that has not returned yet. The actor only gets the CPU time that
        training leaves, and the heartbeat must not wait for it."""
        self._is_ready = threading.Event()
        self._failure: Failed | None = None
        threading.Thread(target=self._train, args=(spec,), name="train", daemon=True).start()

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
            self._actor.pause.remote()

    def _train(self, spec: JobSpec) -> None:
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            ray.init()
            # The actor must be on the driver's node: on another node, losing that node would also end the
            # run.
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            control = ray.remote(num_cpus=0, scheduling_strategy=here)(ControlActor)
            self._actor = control.remote()
            self._is_ready.set()
            from cluster.training.ray_run import fit

            threading.Thread(target=self._watch_nodes, args=(spec,), name="nodes", daemon=True).start()
            fit(spec, self._actor)
        except Exception as error:
            logger.error("Training ended with an error: %s", error)
            self._end(_lost(error))

    def _watch_nodes(self, spec: JobSpec) -> None:
        """Runs until the process ends: reports what the gang waits for, then watches whether its nodes are
        about to go."""
        try:
            self._report_wait(spec)
            self._leave_draining_nodes()
        except Exception:
            # Training continues. If a node is lost, training ends with its own error.
            logger.exception("The run's nodes are no longer watched.")

    def _report_wait(self, spec: JobSpec) -> None:
        """Tells the job's owner what the run waits for, whenever that changes, until it has its devices. If
        the scheduler was wrong about free devices, the job goes back to the queue."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        needs = (spec.config.num_workers, resources_per_worker(spec.device))
        reported, placed, began = "", self._actor.wait_for_devices.remote(), time.monotonic()
        report_at = began + WAIT_REPORT_SECONDS
        while not ray.wait([placed], timeout=LOOK_SECONDS)[0]:
            at = time.monotonic()
            reason = why_leave(draining_nodes(), [], driver=here)
            if reason := reason or why_give_up(spec.placement, at - began, nodes_alive()):
                ray.get(self._actor.leave.remote(reason))
            if at < report_at:
                continue
            report_at = at + WAIT_REPORT_SECONDS
            message = waiting_message(*needs, ray.cluster_resources(), ray.available_resources())
            if message != reported:
                self._actor.push.remote([RunnerMessage(message=message)])
                reported = message

    def _leave_draining_nodes(self) -> None:
        """Saves the run's state while a node that is about to go, such as a spot instance, is still up."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        while True:
            draining = draining_nodes()
            nodes = ray.get(self._actor.nodes.remote()) if draining else []
            if reason := why_leave(draining, nodes, driver=here):
                ray.get(self._actor.leave.remote(reason))
                return
            time.sleep(LOOK_SECONDS)  # Ray sends no notification.

    def _end(self, failure: Failed) -> None:
        """Sets the final state through the actor, which holds the first worker's last events and may already
        have its final state."""
        import ray

        if self._actor is None:
            self._failure = failure
            self._is_ready.set()
        else:
            ray.get(self._actor.finish.remote(failure))


def why_give_up(placement: Placement | None, waited_seconds: float, alive: Collection[str]) -> str | None:
    """Returns why a gang that has waited this long for its devices goes back to the queue; None if it
    continues to wait. `alive` are the ids of all nodes that are up. A job that was not assigned nodes waits
    for as long as it takes."""
    if placement is None or not placement.nodes:
        return None
    if not placement.nodes.keys() <= set(alive):
        return "a node that it was to run on is gone."
    if waited_seconds < PLACING_SECONDS:
        return None
    return "the devices that it was to have are held by something else on the cluster."


def why_leave(draining: Collection[str], nodes: Collection[str], *, driver: str) -> str | None:
    """Returns why a run goes back to the queue before Ray takes a node away; None if it continues to train.
    `nodes` are those of its workers. `driver` is the head node, which has its driver and its `ControlActor`:
    without it, the run also ends."""
    if not set(draining).isdisjoint(nodes):
        return "a node that it runs on is about to be taken away."
    if driver in draining:
        return "Ray's head is about to be taken away."
    return None


def nodes_alive() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def draining_nodes() -> set[str]:
    """Returns the ids of the nodes that Ray knows to be about to go."""
    from ray._private.state import state

    return set(state.get_draining_nodes())


def waiting_message(
    num_workers: int, each: Mapping[str, float], in_all: Mapping[str, float], free: Mapping[str, float]
) -> str:
    """Describes what a run waits for. `each` is what one worker reserves; `in_all` and `free` are the
    cluster's resources, under Ray's names."""
    needs = " and ".join(f"{number * num_workers:g} {name}(s)" for name, number in each.items())
    has = " and ".join(f"{free.get(name, 0):g} of {in_all.get(name, 0):g} {name}(s)" for name in each)
    return f"The job waits for the cluster: it needs {needs} for {num_workers} worker(s), and {has} are free."


def _lost(error: Exception) -> Failed:
    return failed_state(error, "The training process", code="worker_lost")
