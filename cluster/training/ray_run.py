"""Training on a Ray cluster: `run_attempt` in Ray Train workers. No other module imports ray.train.

Events and states go through the runner's control actor, because Ray Train's own reports are throttled and act
as a barrier.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# ray.train reads these when it is imported, and its controller and workers inherit them: the V2 API, no
# second copy of every printed line, no change of working directory, a dead worker noticed within a second,
# no actor that watches for preemption, which is the scheduler's task, and no limit to the time that a run
# waits for devices: a pool may have to grow or another job to end, which is no fault of this attempt.
os.environ |= {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1e9",
}

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

from cluster.contracts.errors import Unavailable
from cluster.contracts.jobs import Command, Device, Failed, JobSpec, RunnerEvent, StepMetrics
from cluster.niceness import yield_to_others
from cluster.storage.location import open_store
from cluster.training.failure import failed_state
from cluster.training.watchdog import Watchdog

COMMAND_SECONDS = 0.25
"""The shortest time between two requests for a command, which come at the end of a step."""
GIVE_UP_SECONDS = 10.0
"""How long a hung worker tries to report its state before it exits without doing so."""


def fit(spec: JobSpec, control: Any, scratch: Path) -> None:
    """Trains `spec` on `spec.config.num_workers` workers and returns when all of them have ended.

    Waits for as long as the cluster does not have what they need (`resources_per_worker`). Each worker then
    calls `start() -> bool` of `control`, the handle of an actor that also has `push(events) -> command` and
    `finish(state)`, and ends at once if the answer is False.

    This process's environment names the store, as in `store_from_environment`; TUNERY_WORKER_CPUS (1) is the
    number of CPUs that each worker reserves and computes with, and TUNERY_HANG_SECONDS (1800) the longest
    time that one pass through the model, or one message between workers, may take. An attempt that loses a
    worker or hangs ends; the next attempt continues from its last checkpoint. Raises whatever ended the run.
    """
    hang_seconds = float(os.environ.get("TUNERY_HANG_SECONDS", "1800"))
    trainer = _Trainer(
        _work,
        train_loop_config={
            "spec": spec,
            "control": control,
            "threads": _worker_cpus(),
            "hang_seconds": hang_seconds,
            "storage_url": os.environ["TUNERY_STORAGE_URL"],
            "storage_endpoint": os.environ.get("TUNERY_STORAGE_ENDPOINT"),
        },
        torch_config=_backend(spec, control, timeout_seconds=int(hang_seconds)),
        scaling_config=ScalingConfig(
            num_workers=spec.config.num_workers,
            use_gpu=spec.device == "cuda",
            resources_per_worker=resources_per_worker(spec.device),
        ),
        run_config=RunConfig(
            name=f"{spec.job_id}-a{spec.attempt}",
            storage_path=str(scratch),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
        ),
    )
    trainer.fit()


def resources_per_worker(device: Device) -> dict[str, int]:
    """What one worker reserves, in Ray's words."""
    return {"CPU": _worker_cpus(), **({"GPU": 1} if device == "cuda" else {})}


def _worker_cpus() -> int:
    return int(os.environ.get("TUNERY_WORKER_CPUS", "1"))


def _backend(spec: JobSpec, control: Any, *, timeout_seconds: int) -> TorchConfig:
    if spec.device == "cpu":
        return TorchConfig(backend="gloo", timeout_s=timeout_seconds)
    return _CudaConfig(backend="nccl", timeout_s=timeout_seconds, control=control)


@dataclass
class _CudaConfig(TorchConfig):  # type: ignore[misc]  # Ray is untyped.
    """Reports workers without a GPU to `control`, in words that an operator understands. NCCL would only say
    that it does not exist."""

    control: Any = None

    @property
    def backend_cls(self) -> Any:
        return _CudaBackend


class _CudaBackend(TorchConfig().backend_cls):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: _CudaConfig) -> None:
        worker_group.execute(_check_gpu, backend_config.control)
        super().on_start(worker_group, backend_config)


def _check_gpu(control: Any) -> None:
    import torch

    if torch.cuda.is_available():
        return
    error = Unavailable(
        "A training worker has no GPU that torch can use, although TUNERY_TRAINING_DEVICE is cuda. Its node "
        "needs NVIDIA's driver, and a build of torch for CUDA.",
        code="no_gpu",
    )
    ray.get(control.finish.remote(failed_state(error)))
    raise error


class _Trainer(TorchTrainer):  # type: ignore[misc]  # Ray is untyped.
    """A TorchTrainer without two actors that Ray Train starts for every run.

    One hands out Ray Data's data sets, which we do not use. The other removes placement groups that outlive
    their controller, which cannot happen: each attempt is a Ray job of its own, and Ray removes the groups of
    a job that has ended. Together they took a tenth of the CPU time of a short job, and 200 MB."""

    def _create_default_callbacks(self) -> list[Any]:
        unneeded = (DatasetsCallback, PlacementGroupCleanerCallback)
        return [each for each in super()._create_default_callbacks() if not isinstance(each, unneeded)]


def _work(config: dict[str, Any]) -> None:
    """Runs in each worker. Imports are local, so that the driver needs neither torch nor transformers."""
    import torch
    from ray.train.torch import get_device
    from transformers.utils import logging as transformers_logging

    from cluster.training.attempt import run_attempt
    from cluster.training.loop.hooks import RunHooks

    control = _ControlClient(config["control"])
    if not control.start():
        return
    yield_to_others()
    # It warns about a missing CPU kernel for inference whenever PEFT imports it.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(config["threads"])
    device = get_device() if config["spec"].device == "cuda" else torch.device("cpu")
    store = open_store(config["storage_url"], endpoint_url=config["storage_endpoint"])
    try:
        with Watchdog(config["hang_seconds"], lambda: _end_hung(control, config["hang_seconds"])) as watchdog:
            hooks = RunHooks(control.report, control.command, heartbeat=watchdog.heartbeat)
            state = run_attempt(config["spec"], store, hooks, device=device)
    except Exception as error:
        control.finish(failed_state(error))
        raise
    if state is not None:
        control.finish(state)


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
    """The first worker's side of the control actor. Makes a few calls a second, however short the steps
    are."""

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

    def command(self) -> Command:
        if time.monotonic() - self._pushed_at < COMMAND_SECONDS:
            return "continue"
        with self._lock:
            return self._push()

    def _push(self) -> Command:
        command: Command = ray.get(self._actor.push.remote(self._events))
        self._events = []
        self._pushed_at = time.monotonic()
        return command

    def give_up(self, state: Failed) -> None:
        """Like `finish`, but from another thread, so without the events that the main thread may be
        adding."""
        ray.get(self._actor.finish.remote(state), timeout=GIVE_UP_SECONDS)

    def finish(self, state: Any) -> None:
        with self._lock:
            self._push()
        ray.get(self._actor.finish.remote(state))
