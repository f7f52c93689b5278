"""Runs an attempt in this process and records what it reports."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import Hyperparameters, Method, TrainingOptions, resolve
from cluster.contracts.jobs import (
    CheckpointSaved,
    Finished,
    JobSpec,
    ResumeStateSaved,
    RunnerEvent,
    StepMetrics,
    Stopped,
    WorkerCommand,
)
from cluster.storage.keys import file_key, sibling_key
from cluster.storage.store import ObjectStore
from cluster.training.attempt import run_attempt
from cluster.training.checkpoints.checkpoint import RESUME_MANIFEST, download_file
from cluster.training.checkpoints.distributed_store import load
from cluster.training.checkpoints.resume_state import ResumeManifest, read_manifest
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
    def states(self) -> list[ResumeStateSaved]:
        return [event for event in self.events if isinstance(event, ResumeStateSaved)]

    @property
    def losses(self) -> list[float]:
        return [step.train_loss for step in self.steps]


def read_state(
    store: ObjectStore, manifest_key: str, folder: Path
) -> tuple[ResumeManifest, dict[str, torch.Tensor]]:
    """The resume state of a step, whole. `manifest_key` is of either manifest of the step."""
    key = sibling_key(manifest_key, RESUME_MANIFEST)
    manifest = read_manifest(store.get(key), key)
    folder.mkdir(exist_ok=True)
    for file in manifest.files:
        download_file(store, file, key, folder / file.name)
    saved = manifest.tensors.items()
    tensors = {name: torch.empty(each.shape, dtype=each.torch_dtype) for name, each in saved}
    load(tensors, manifest.tensors, lambda name: folder / name)
    return manifest, tensors


def record(
    spec: JobSpec, store: ObjectStore, *, stop_after: int | None = None, stop_with: WorkerCommand = "pause"
) -> Recording:
    """Trains. With `stop_after`, the command `stop_with` arrives during the step of that number."""
    recording = Recording()

    def command() -> WorkerCommand:
        return stop_with if stop_after is not None and len(recording.steps) >= stop_after - 1 else "continue"

    hooks = RunHooks(recording.events.append, command)
    recording.result = run_attempt(spec, store, hooks, device=torch.device("cpu"))
    return recording


def record_job(
    base: BaseSpec,
    store: ObjectStore,
    rows: bytes,
    options: dict[str, Any],
    *,
    method: Method = "supervised",
    encryption_key: str | None = None,
    **hyperparameters: Any,
) -> Recording:
    """Trains a whole job on twelve rows in batches of four. `options` are those of TrainingOptions."""
    data = store.put(file_key("file-1"), rows)
    assert data.sha256 is not None
    _, config = resolve(
        Hyperparameters(batch_size=4, **hyperparameters),
        TrainingOptions(**options),
        base,
        n_examples=12,
        seed=1,
        method=method,
    )
    spec = JobSpec(
        job_id="ftjob-1",
        attempt=1,
        attempt_token="t",
        service_url="",
        device="cpu",
        base=base,
        config=config,
        training_key=data.key,
        training_sha256=data.sha256,
        encryption_key=encryption_key,
    )
    return record(spec, store)
