"""Stores the checkpoints of an attempt while training continues.

A step's state is copied to the host's memory at once. A thread then writes this worker's part, uploads it,
and synchronises with the other workers' threads in a separate process group. One checkpoint is stored at a
time."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cluster.bases.resolve import base_digest, base_folder, template_digest
from cluster.bases.text.chat_template import template_text
from cluster.contracts.jobs import CheckpointSaved, JobSpec, ResumeStateSaved, RunnerEvent, StepMetrics
from cluster.contracts.manifest import AnswerPrompt, Manifest, ManifestFile, Probe, provenance_of
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import manifest_key, sibling_key
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints import distributed_store
from cluster.training.checkpoints.checkpoint import RESUME_MANIFEST, upload_file, write_manifest
from cluster.training.checkpoints.environment import environment
from cluster.training.checkpoints.resume_state import ResumeManifest, TrainingState
from cluster.training.checkpoints.saved_tensors import SavedTensor
from cluster.training.checkpoints.served_files import ShardedFiles, write_index
from cluster.training.checkpoints.served_weights import ServedWeights
from cluster.training.checkpoints.staging import Staging, page_lock
from cluster.training.world import World

Saved = CheckpointSaved | ResumeStateSaved
_POLL_SECONDS = 0.5
_CLOSING_SHARE = 0.5
"""Share of the time limit of the other workers that this one may spend on storing a last checkpoint."""


@dataclass(frozen=True, slots=True)
class CheckpointContext:
    """What all checkpoints of an attempt have in common."""

    spec: JobSpec
    store: ObjectStore
    served: ServedWeights
    parent_sha256: str | None
    """SHA-256 of the manifest of the tuned weights that the job began with."""
    device: torch.device
    tokenizer: Any
    answer_prompts: list[AnswerPrompt]
    world: World
    report: Callable[[RunnerEvent], None] = lambda event: None
    """Receives an event as soon as something is stored, from another thread: training may hang or fail before
    its next step."""
    heartbeat: Callable[[], None] = lambda: None
    patience_seconds: float | None = None
    """Same as in RunHooks."""


class CheckpointWriter:
    """Writes the checkpoints of one attempt, each under its step's own keys. Every worker has one and makes
    the same calls. Close it when done."""

    def __init__(
        self, context: CheckpointContext, folder: Path, *, resumed: Mapping[int, WeightsRef]
    ) -> None:
        """`folder` holds files until they are stored. `resumed` are checkpoints of earlier attempts, by
        step."""
        self._context, self._root = context, folder
        self.stored: dict[int, WeightsRef] = dict(resumed)
        """Served weights in storage, by step, as far as this worker knows. The first worker knows all of
        them."""
        self._staging = Staging(page_lock(context.device, context.spec.config.footprint))
        self._group = context.world.patient_group()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._storing: Future[list[Saved]] | None = None
        self._moved = 0
        self._is_sent = False

    def save(
        self,
        take: Callable[[], TrainingState],
        metrics: StepMetrics,
        *,
        is_served: bool,
    ) -> None:
        """Saves the state that `take` returns and, with `is_served`, the weights for serving. Waits until the
        previous checkpoint is stored, and returns as soon as training may continue.

        Raises Unavailable if the previous checkpoint could not be stored; earlier ones are unaffected."""
        self._wait()
        state = take()
        tensors = state.tensors()
        staged = self._staging.copy(tensors)
        self._context.heartbeat()
        step = state.progress.step
        folder = self._root / f"step-{step}"
        folder.mkdir()
        served = self._write_served(state, metrics, folder) if is_served else None
        self._is_sent = False
        storing = _Storing(self._context, state, tensors, staged, folder, served, metrics, self._group)
        self._storing = self._thread.submit(self._store, storing)

    def is_busy(self) -> bool:
        """Whether a checkpoint is being stored."""
        return self._storing is not None and not self._storing.done()

    def check(self) -> None:
        """Raises the error of a checkpoint that could not be stored."""
        if self._storing is not None and self._storing.done():
            self._wait()

    def flush(self) -> None:
        """Waits until everything is stored. Raises the error of a checkpoint that could not be."""
        self._wait()

    def close(self) -> None:
        """Waits for the checkpoint that is being stored.

        If this run has failed, other workers may be waiting in a pass that this one has left. Storing is then
        abandoned early enough to report the failure before the workers are taken for hung. The previous
        checkpoint is kept."""
        patience = self._context.patience_seconds
        self._context.heartbeat()
        if self._storing is not None:
            wait([self._storing], timeout=None if patience is None else _CLOSING_SHARE * patience)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._staging.close()

    def _write_served(self, state: TrainingState, metrics: StepMetrics, folder: Path) -> "_Served":
        context = self._context
        share, probe = context.served.write(folder)
        return _Served(share, self._manifest(state, metrics, probe) if context.world.is_first else None)

    def _manifest(self, state: TrainingState, metrics: StepMetrics, probe: Probe) -> Manifest:
        context, spec, total_steps = self._context, self._context.spec, metrics.total_steps
        return Manifest(
            job_id=spec.job_id,
            attempt=spec.attempt,
            step=state.progress.step,
            total_steps=total_steps,
            epoch=state.progress.step * spec.config.n_epochs / total_steps,
            form=context.served.form,
            base_alias=spec.base.alias,
            base_digest=base_digest(base_folder(spec.base)),
            data_sha256=spec.training_sha256,
            validation_sha256=spec.validation_sha256,
            general_sha256=spec.general_sha256,
            parent_sha256=context.parent_sha256,
            template_sha256=template_digest(template_text(context.tokenizer)),
            environment=environment(context.device),
            config=spec.config,
            files=[],
            probe=probe,
            answer_prompts=context.answer_prompts,
        )

    def _store(self, storing: "_Storing") -> list[Saved]:
        events = storing.run(self._note_progress, self._note_sent)
        shutil.rmtree(storing.folder)
        return events

    def _note_progress(self) -> None:
        self._moved += 1

    def _note_sent(self) -> None:
        self._is_sent = True

    def _wait(self) -> None:
        """Waits for the checkpoint that is being stored. Sends heartbeats while this worker's bytes move, and
        all the time once they are sent, because the other workers are watched by themselves."""
        if self._storing is None:
            return
        storing, seen = self._storing, -1
        while wait([storing], timeout=_POLL_SECONDS).not_done:
            if self._is_sent or self._moved != seen:
                seen = self._moved
                self._context.heartbeat()
        self._storing = None
        for event in storing.result():
            if isinstance(event, CheckpointSaved):
                self.stored[event.step] = event.weights


class _Served(NamedTuple):
    share: ShardedFiles | None
    """This worker's files of a model that all workers write together."""
    manifest: Manifest | None
    """Manifest without its files, on the first worker."""


class _Others(NamedTuple):
    """Files that a worker uploads besides its part of the resume state."""

    files: list[ManifestFile]
    share: ShardedFiles | None


@dataclass(slots=True)
class _Storing:
    """A checkpoint that is being stored."""

    context: CheckpointContext
    state: TrainingState
    tensors: Mapping[str, torch.Tensor]
    staged: Mapping[str, torch.Tensor]
    folder: Path
    served: _Served | None
    metrics: StepMetrics
    group: Any

    @property
    def step(self) -> int:
        return self.state.progress.step

    @property
    def part(self) -> Path:
        return self.folder / f"resume_part-{self.context.world.rank:05}.safetensors"

    @property
    def key(self) -> str:
        spec = self.context.spec
        return manifest_key(spec.job_id, spec.attempt, self.step)

    def run(self, on_progress: Callable[[], None], on_sent: Callable[[], None]) -> list[Saved]:
        """Stores the checkpoint together with the other workers. The manifests come last: first that of the
        served weights, which training must not lose, then that of the resume state, after which the served
        weights are not made again. On the first worker, reports what was stored and returns it."""
        events: list[Saved] = []

        def add(event: Saved) -> None:
            self.context.report(event)
            events.append(event)

        def send(path: Path) -> ManifestFile:
            return upload_file(self.context.store, path, self.key, on_progress)

        def send_others() -> _Others:
            files = [send(path) for path in sorted(self.folder.iterdir())]
            return _Others(files, self.served.share if self.served else None)

        def send_part(path: Path) -> ManifestFile:
            sent = send(path)
            on_sent()
            return sent

        def finish(files: list[ManifestFile], index: dict[str, SavedTensor], sent: list[_Others]) -> None:
            if self.served is not None:
                add(self._finish_served(sent, send))
            add(self._finish_state(files, index))

        distributed_store.save(
            self.tensors, self.staged, self.part, send_part, send_others, finish, self.group
        )
        return events

    def _finish_served(self, sent: list[_Others], send: Callable[[Path], ManifestFile]) -> CheckpointSaved:
        assert self.served is not None
        assert self.served.manifest is not None
        files = [file for others in sent for file in others.files]
        shares = [others.share for others in sent if others.share is not None]
        if shares and (index := write_index(shares, self.folder)) is not None:
            files.append(send(index))
        files.sort(key=lambda file: file.name)
        manifest = self.served.manifest.model_copy(update={"files": files})
        ref = write_manifest(self.context.store, self.key, manifest)
        return CheckpointSaved.of(
            ref,
            step=self.step,
            metrics=self.metrics,
            provenance=provenance_of(manifest),
            best_step=self.state.progress.best_step,
        )

    def _finish_state(self, files: list[ManifestFile], index: dict[str, SavedTensor]) -> ResumeStateSaved:
        spec = self.context.spec
        manifest = ResumeManifest(
            job_id=spec.job_id,
            attempt=spec.attempt,
            step=self.step,
            base_digest=base_digest(base_folder(spec.base)),
            data_sha256=spec.training_sha256,
            training_type=spec.config.type,
            progress=self.state.progress,
            best=self.state.best,
            files=files,
            tensors=index,
        )
        body, key = manifest.model_dump_json().encode(), sibling_key(self.key, RESUME_MANIFEST)
        self.context.store.put(key, body)
        digest = hashlib.sha256(body).hexdigest()
        return ResumeStateSaved(step=self.step, manifest_key=key, manifest_sha256=digest)
