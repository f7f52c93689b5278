"""Checkpoints in storage: weights in formats that other tools read, and what a resume needs.

    adapter_config.json, adapter_model.safetensors    form lora: PEFT's format
    prefix.safetensors                                form prefix: keys and values before every prompt
    config.json, model*.safetensors, tokenizer files  form full: transformers' format
    resume_*                                          for a resume: see training_state.py
    manifest.json                                     written last; without it there is no checkpoint

All files are safetensors or JSON, so nothing in a checkpoint can be executed.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from cluster.bases.resolve import base_digest, base_folder, template_digest
from cluster.bases.text.chat_template import template_text
from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.jobs import CheckpointSaved, JobSpec, StepMetrics
from cluster.contracts.manifest import (
    AnswerPrompt,
    Manifest,
    ManifestFile,
    Probe,
    is_resume_file,
    provenance_of,
)
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import manifest_key, sibling_key
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.environment import environment
from cluster.training.checkpoints.export import distinct_state, is_adapted, merge, save_adapter, save_full
from cluster.training.checkpoints.probe import score_probe, with_base
from cluster.training.checkpoints.served import load_causal, load_classifier, load_served, unadapted
from cluster.training.checkpoints.training_state import TrainingState, restore_weights, write_state
from cluster.training.data.dataset import Dataset
from cluster.training.loop.progress import Progress
from cluster.training.model.adapters import attach
from cluster.training.model.prefix import prefix_states
from cluster.training.model.trainee import Trainee, is_served_quantized, load_merge_base, trainable_parameters
from cluster.training.world import World, host_copies


@dataclass(frozen=True, slots=True)
class CheckpointContext:
    """What all checkpoints of an attempt share."""

    spec: JobSpec
    store: ObjectStore
    trainee: Trainee
    weights: Path
    """The folder of the weights that the job began with, without adapters."""
    parent_sha256: str | None
    """Of the manifest of the tuned weights that the job began with."""
    device: torch.device
    tokenizer: Any
    probe_data: Dataset
    answer_prompts: list[AnswerPrompt]
    world: World


class CheckpointWriter:
    """Writes the checkpoints of one attempt, each under its step's own keys, while training continues.
    Weights are copied at once; a thread stores one checkpoint at a time. Close the writer when done."""

    def __init__(
        self, context: CheckpointContext, folder: Path, *, resumed: Mapping[int, WeightsRef]
    ) -> None:
        """`folder` holds files until they are stored. `resumed` are checkpoints of earlier attempts, by
        step."""
        self._context = context
        self.stored: dict[int, WeightsRef] = dict(resumed)
        """The checkpoints in storage, by step."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._storing: Future[CheckpointSaved] | None = None
        self._done: list[CheckpointSaved] = []
        self._kept: tuple[int, Path] | None = None
        self._root = folder
        self._base_probe: Probe | None = None
        """The base's scores, which are the same at every step."""

    def save(
        self, take: Callable[[], TrainingState], progress: Progress, metrics: StepMetrics, *, keeps: bool
    ) -> None:
        """Saves a checkpoint. Every worker calls this; the first one writes. `take` copies the run's state.
        Waits until the previous checkpoint is stored, and returns as soon as training may continue. With
        `keeps`, the served files stay on this machine until the next checkpoint that is kept.

        Raises Unavailable if the previous checkpoint could not be stored; those before it are unaffected.
        """
        self._wait()
        state = take()
        full = _full_weights(self._context, state)
        if not self._context.world.is_first:
            return
        step = progress.step
        folder = self._root / f"step-{step}"
        folder.mkdir()
        self._write_served(state, full, folder, total_steps=metrics.total_steps)
        manifest = self._manifest(progress, metrics, self._probe(folder))
        if keeps:
            if self._kept is not None:
                shutil.rmtree(self._kept[1])
            self._kept = (step, folder)
        self._storing = self._thread.submit(self._store_files, state, manifest, folder, metrics, keeps)

    def finished(self) -> list[CheckpointSaved]:
        """The checkpoints that were stored since the last call. Raises the error of one that failed."""
        if self._storing is not None and self._storing.done():
            self._wait()
        done, self._done = self._done, []
        return done

    def flush(self) -> list[CheckpointSaved]:
        """Waits until everything is stored, then returns `finished()`."""
        self._wait()
        return self.finished()

    def folder(self, step: int) -> Path | None:
        """The folder with the served files of this step's checkpoint, if they were kept."""
        return self._kept[1] if self._kept is not None and self._kept[0] == step else None

    def close(self) -> None:
        """Waits for the checkpoint that is being stored."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _wait(self) -> None:
        if self._storing is not None:
            storing, self._storing = self._storing, None
            event = storing.result()
            self.stored[event.step] = event.weights
            self._done.append(event)

    def _write_served(
        self, state: TrainingState, full: dict[str, torch.Tensor], folder: Path, *, total_steps: int
    ) -> None:
        context, trainee = self._context, self._context.trainee
        dtype = context.spec.base.dtype
        if not is_adapted(trainee.model):
            save_full(trainee.model, full, context.tokenizer, dtype, folder)
        elif trainee.form in ("lora", "qlora"):
            save_adapter(trainee.model, state.weights, folder)
        elif trainee.form == "prefix":
            save_file(prefix_states(trainee.model), folder / "prefix.safetensors")
        else:
            merge(self._in_full_precision(state, total_steps), context.tokenizer, dtype, folder)

    def _in_full_precision(self, state: TrainingState, total_steps: int) -> Any:
        """The adapter on a separate fp32 base, because merging into and unmerging from the model in training
        would change it."""
        context = self._context
        base, config = context.spec.base, context.spec.config
        model = load_merge_base(
            context.weights, base, config, context.probe_data, is_quantized=is_served_quantized(base, config)
        )
        task = context.trainee.model.peft_config["default"].task_type
        adapted = attach(model, base, config, total_steps=total_steps, task=task)
        restore_weights(trainable_parameters(adapted), state.weights)
        return adapted

    def _probe(self, folder: Path) -> Probe:
        """The scores of the model that serving will load, and of the base that it loads it on."""
        context, form = self._context, self._context.trainee.form
        data, dtype = context.probe_data, context.spec.base.dtype
        # On the CPU, because training fills the device.
        device = torch.device("cpu")
        if context.spec.base.architecture == "encoder":
            return score_probe(load_classifier(folder, dtype, device), data)
        if form == "full":
            probe = score_probe(load_served(folder, form, context.weights, dtype, device), data)
            if self._base_probe is None:
                base = load_causal(base_folder(context.spec.base), dtype, device)
                self._base_probe = score_probe(base, data)
            return with_base(probe, self._base_probe)
        model = self._adapted(folder)
        if self._base_probe is None:
            with unadapted(model) as base:
                self._base_probe = score_probe(base, data)
        return with_base(score_probe(model, data), self._base_probe)

    def _adapted(self, folder: Path) -> Any:
        """For plain LoRA on the base's own weights this is the model in training; any other is loaded from
        its files."""
        context, trainee = self._context, self._context.trainee
        if trainee.form == "lora" and context.spec.config.type == "lora" and not context.world.is_sharded:
            return trainee.model
        return load_served(
            folder, trainee.form, context.weights, context.spec.base.dtype, torch.device("cpu")
        )

    def _manifest(self, progress: Progress, metrics: StepMetrics, probe: Probe) -> Manifest:
        spec, total_steps = self._context.spec, metrics.total_steps
        return Manifest(
            job_id=spec.job_id,
            attempt=spec.attempt,
            step=progress.step,
            total_steps=total_steps,
            epoch=progress.step * spec.config.n_epochs / total_steps,
            form=self._context.trainee.form,
            base_alias=spec.base.alias,
            base_digest=base_digest(base_folder(spec.base)),
            data_sha256=spec.training_sha256,
            validation_sha256=spec.validation_sha256,
            general_sha256=spec.general_sha256,
            parent_sha256=self._context.parent_sha256,
            template_sha256=template_digest(template_text(self._context.tokenizer)),
            environment=environment(self._context.device),
            config=spec.config,
            files=[],
            probe=probe,
            answer_prompts=self._context.answer_prompts,
        )

    def _store_files(
        self, state: TrainingState, manifest: Manifest, folder: Path, metrics: StepMetrics, keeps: bool
    ) -> CheckpointSaved:
        write_state(state, folder)
        key = manifest_key(manifest.job_id, manifest.attempt, manifest.step)
        saved = upload(self._context.store, folder, key, manifest)
        for path in list(folder.iterdir()):
            if not keeps or path.name.startswith("resume"):
                path.unlink()
        if not keeps:
            folder.rmdir()
        return CheckpointSaved.of(
            saved, step=manifest.step, metrics=metrics, provenance=provenance_of(manifest)
        )


def upload(store: ObjectStore, folder: Path, manifest_key: str, manifest: Manifest) -> WeightsRef:
    """Uploads every file of `folder`, then the manifest, which lists their sizes and digests. Raises
    CorruptArtefact if a stored file's size differs from the folder's."""
    files = []
    for path in sorted(folder.iterdir()):
        key = sibling_key(manifest_key, path.name)
        sent = store.upload(key, path)
        assert sent.sha256 is not None
        if (stored := store.stat(key).bytes) != sent.bytes:
            raise CorruptArtefact(f"Storage holds {stored} bytes of {key!r} of {sent.bytes}.")
        files.append(ManifestFile(name=path.name, bytes=sent.bytes, sha256=sent.sha256))
    body = manifest.model_copy(update={"files": files}).model_dump_json(indent=1).encode()
    store.put(manifest_key, body)
    return _ref(body, manifest_key, manifest)


def download(
    store: ObjectStore, manifest_key: str, folder: Path, *, with_resume_state: bool = True
) -> tuple[Manifest, WeightsRef]:
    """Downloads the files of a checkpoint into `folder`. Without the resume state, these are the files that
    are kept for as long as the model exists. Raises CorruptArtefact if a file is missing or differs from the
    manifest, and NotFound if there is no manifest."""
    body = store.get(manifest_key)
    try:
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {manifest_key!r} cannot be read.") from error
    for file in manifest.files:
        # A prefix keeps its learned weights in the resume state only, which is never deleted for it.
        if is_resume_file(file.name) and not with_resume_state and manifest.form != "prefix":
            continue
        try:
            found = store.download(sibling_key(manifest_key, file.name), folder / file.name)
        except NotFound as error:
            raise CorruptArtefact(f"{file.name} of checkpoint {manifest_key!r} is missing.") from error
        if (found.bytes, found.sha256) != (file.bytes, file.sha256):
            raise CorruptArtefact(f"{file.name} of checkpoint {manifest_key!r} differs from its manifest.")
    return manifest, _ref(body, manifest_key, manifest)


def _ref(body: bytes, manifest_key: str, manifest: Manifest) -> WeightsRef:
    digest = hashlib.sha256(body).hexdigest()
    return WeightsRef(digest=digest, manifest_key=manifest_key, form=manifest.form)


def check_same_run(spec: JobSpec, manifest: Manifest) -> None:
    """Raises CorruptArtefact if the checkpoint is of another base, training file or training type."""
    expected = (base_digest(base_folder(spec.base)), spec.training_sha256, spec.config.type)
    found = (manifest.base_digest, manifest.data_sha256, manifest.config and manifest.config.type)
    if found != expected:
        raise CorruptArtefact(
            f"The checkpoint of job {manifest.job_id} at step {manifest.step} was trained from another "
            "base or on other data."
        )


def _full_weights(context: CheckpointContext, state: TrainingState) -> dict[str, torch.Tensor]:
    """All weights that the folder of a full fine-tune needs; empty for adapters. Every worker must call
    it."""
    if is_adapted(context.trainee.model):
        return {}
    weights = distinct_state(context.trainee.model)
    # The state holds the trainable weights, but not buffers and frozen weights.
    learned = {name for name, value in weights.items() if value.requires_grad}
    others = {name: value for name, value in weights.items() if name not in learned}
    copies = host_copies(others, context.world) | state.weights
    return {name: copies[name] for name in weights if name in copies}
