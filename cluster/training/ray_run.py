"""Training on a Ray cluster: `run_attempt` in each worker of a gang.

Events and states go through the runner's control actor.
"""

import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import ray

from cluster.contracts.errors import Unavailable
from cluster.contracts.jobs import Failed, JobSpec, RunnerEvent, StepMetrics, WorkerCommand
from cluster.garbage import without_collections
from cluster.logs import configure_logs
from cluster.niceness import yield_to_others
from cluster.nvidia_driver import least_driver
from cluster.storage.location import checksums_from_environment, open_store
from cluster.storage.store import Checksums
from cluster.tracing import configure_tracing, span, stop_tracing
from cluster.training.failure import failed_state
from cluster.training.gang import Seat, reserve, start, work_on_all
from cluster.training.watchdog import Watchdog
from cluster.worker_resources import worker_cpus

COMMAND_SECONDS = 0.25
"""Minimum time between two requests for a command, which are sent at the end of a step."""
GIVE_UP_SECONDS = 10.0
"""How long a hung worker tries to report its state before it exits without doing so."""


def fit(spec: JobSpec, control: Any) -> None:
    """Trains `spec` on `spec.config.num_workers` workers and returns when all of them have ended.

    Waits until the cluster has what they need (`resources_per_worker`), and takes all of it at once. Then
    calls `hold(nodes)` of `control`, the handle of an actor, with the number of workers on each node. Each
    worker calls its `start() -> bool`, `push(events) -> command` and `finish(state)`, and ends at once if it
    may not start.

    This process's environment names the store, as in `store_from_environment`; TUNERY_WORKER_CPUS (1) is the
    number of CPUs that each worker reserves and computes with, and TUNERY_HANG_SECONDS (1800) the maximum
    time that one pass through the model, or one message between workers, may take. An attempt that loses a
    worker or hangs ends; the next attempt continues from its last checkpoint. Raises the error that ended the
    run.
    """
    task = _Task(
        spec,
        control,
        threads=worker_cpus(),
        hang_seconds=float(os.environ.get("TUNERY_HANG_SECONDS", "1800")),
        storage_url=os.environ["TUNERY_STORAGE_URL"],
        storage_endpoint=os.environ.get("TUNERY_STORAGE_ENDPOINT"),
        storage_checksums=checksums_from_environment(),
    )
    group, nodes = reserve(spec)
    # Called before the gang's processes are up, which takes seconds: Ray already counts the devices as taken,
    # and the scheduler would count them a second time.
    ray.get(control.hold.remote(nodes))
    work_on_all(start(spec, group), _work, task)


@dataclass(frozen=True, slots=True)
class _Task:
    """What each worker is given."""

    spec: JobSpec
    control: Any
    threads: int
    hang_seconds: float
    storage_url: str
    storage_endpoint: str | None
    storage_checksums: Checksums


def _work(seat: Seat, task: _Task) -> None:
    """Runs in each worker. Imports are local, so that the driver needs neither torch nor transformers."""
    spec = task.spec
    if spec.device != "cpu":
        # Before any import: bitsandbytes, which PEFT imports, starts CUDA.
        seat.see_gpus()
        # Otherwise cached blocks can only be used for requests of their own size. torch reads this when it is
        # imported.
        if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
            os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    if not spec.config.compile:
        # Otherwise bitsandbytes, which PEFT imports, loads torch's compiler, which takes a second and 40 MB.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    # It warns about a missing CPU kernel for inference whenever PEFT imports it.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with without_collections():
        import torch
        from transformers.utils import logging as transformers_logging

        from cluster.training.attempt import run_attempt
        from cluster.training.heap import return_freed_memory
        from cluster.training.loop.hooks import RunHooks

        if spec.config.type != "full":
            import peft  # noqa: F401  (what builds adapters imports it as well)

    about: dict[str, Any] = {"job": spec.job_id, "attempt": spec.attempt, "rank": seat.rank}
    configure_logs(sys.stderr, process="worker", **about)
    configure_tracing("worker")
    control = _ControlClient(task.control)
    device = torch.device("cpu") if spec.device == "cpu" else _own_gpu(seat, control)
    seat.join("gloo" if spec.device == "cpu" else "nccl", task.hang_seconds)
    if not control.start():
        return
    yield_to_others()
    if spec.device == "cpu":
        return_freed_memory()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(task.threads)
    store = open_store(task.storage_url, endpoint_url=task.storage_endpoint, checksums=task.storage_checksums)
    try:
        with Watchdog(task.hang_seconds, lambda: _end_hung(control, task.hang_seconds)) as watchdog:
            hooks = RunHooks(
                control.report,
                control.command,
                heartbeat=watchdog.heartbeat,
                patience_seconds=task.hang_seconds,
            )
            with span("train", parent=spec.traceparent, **about):
                state = run_attempt(spec, store, hooks, device=device)
    except Exception as error:
        control.finish(failed_state(error))
        raise
    else:
        if state is not None:
            control.finish(state)
    finally:
        # After the state, which must not wait for a slow trace collector.
        stop_tracing()


def _own_gpu(seat: Seat, control: "_ControlClient") -> Any:
    """Makes the worker's GPU the default of this thread. If there is none, reports that in words that an
    operator understands: NCCL would only say that the device does not exist."""
    import torch

    if not torch.cuda.is_available():
        error = no_gpu(torch.version.cuda)
        control.finish(failed_state(error))
        raise error
    device = torch.device("cuda", seat.local_rank)
    torch.cuda.set_device(device)
    return device


def no_gpu(cuda: str | None) -> Unavailable:
    """Makes the error for a worker without a GPU. `cuda` is the version of CUDA that torch is built for."""
    if cuda is None:
        needed = "a build of torch for CUDA, which its own is not"
    else:
        least = least_driver(cuda)
        needed = (
            f"NVIDIA's driver{f', version {least} or newer' if least else ''}: torch is built for CUDA {cuda}"
        )
    return Unavailable(
        "A training worker has no GPU that torch can use, although TUNERY_TRAINING_DEVICE is cuda. Its node "
        f"needs {needed}.",
        code="no_gpu",
    )


def _end_hung(control: "_ControlClient", seconds: float) -> None:
    """Reports the hang and exits at once: a collective that waits in C++ cannot be interrupted."""
    try:
        control.give_up(
            Failed(
                code="hung",
                message=f"Training made no progress for {seconds:.0f} seconds: a worker or its device hangs.",
                is_user_fault=False,
            )
        )
    finally:
        os._exit(1)


class _ControlClient:
    """The first worker's side of the control actor. Makes only a few calls per second, however short the
    steps are."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._lock = threading.Lock()
        """Messages about slow phases come from another thread."""
        self._events: list[RunnerEvent] = []
        self._pushed_at = float("-inf")

    def start(self) -> bool:
        should_start: bool = ray.get(self._actor.start.remote())
        return should_start

    def report(self, event: RunnerEvent) -> None:
        with self._lock:
            self._events.append(event)
            if not isinstance(event, StepMetrics):
                # Sent at once, because the next step may be far away or never come.
                self._push()

    def command(self) -> WorkerCommand:
        if time.monotonic() - self._pushed_at < COMMAND_SECONDS:
            return "continue"
        with self._lock:
            return self._push()

    def _push(self) -> WorkerCommand:
        command: WorkerCommand = ray.get(self._actor.push.remote(self._events))
        self._events = []
        self._pushed_at = time.monotonic()
        return command

    def give_up(self, state: Failed) -> None:
        """Like `finish`, but called from another thread, so without the events that the main thread may be
        adding."""
        ray.get(self._actor.finish.remote(state), timeout=GIVE_UP_SECONDS)

    def finish(self, state: Any) -> None:
        with self._lock:
            self._push()
        ray.get(self._actor.finish.remote(state))
