"""The weights that a run begins with: the base, another job's tuned weights, or the job's own checkpoint."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cluster.bases.resolve import base_digest, base_folder
from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import CorruptArtefact, NotFound, TrainingFailed
from cluster.contracts.jobs import JobSpec
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import sibling_key
from cluster.training.checkpoints.checkpoint import check_same_run, read_manifest
from cluster.training.checkpoints.node_copies import NodeCopies, adapter_state
from cluster.training.checkpoints.resume_state import SavedState
from cluster.training.checkpoints.served_files import merge
from cluster.training.data.dataset import Dataset
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.heap import release_dropped_model
from cluster.training.loop.reporting import kept_alive
from cluster.training.model.trainee import load_merge_base
from cluster.training.node_folder import made_once


@dataclass(slots=True)
class StartingPoint:
    weights: Path
    """The folder from which the model is loaded."""
    is_base: bool
    """Whether these are the catalogue's own weights."""
    adapter: Path | None = None
    """The folder of a checkpoint whose adapter is continued."""
    form: WeightsForm = "lora"
    """Form in which that checkpoint is served."""
    parent: WeightsRef | None = None
    """The tuned weights that the job began with."""
    state: SavedState | None = None
    """Training state of the run that is continued, if its adapter or its optimizer is needed."""
    resumed: SavedState | None = None
    """This job's own training state at an earlier step."""
    resumed_from: WeightsRef | None = None
    """The served weights of that step, if it has any."""


def find_starting_point(spec: JobSpec, copies: NodeCopies, data: Dataset) -> StartingPoint:
    """Finds what the run begins with, and downloads the served weights that it includes. Each worker reads
    its parts of a state later.

    Raises TrainingFailed if the tuned weights cannot be continued this way, and the NotFound, Unavailable and
    CorruptArtefact that storage raises.
    """
    start = _base(spec) if spec.start_from is None else _tuned(spec, spec.start_from, copies, data)
    if spec.resume_from is None:
        return start
    served = _served_beside(spec.resume_from, copies)
    try:
        manifest, state = copies.state(spec.resume_from)
    except NotFound as error:
        if served is not None and served.manifest_key == spec.resume_from:
            # The earlier attempt ended after it had stored the weights of its first checkpoint and before the
            # resume state.
            return start
        raise CorruptArtefact(f"The state to resume from is missing: {error.message}") from error
    with kept_alive(copies.heartbeat):
        # Reads all files of a base whose digest was not kept.
        check_same_run(spec, manifest)
    return replace(start, resumed=state, resumed_from=served)


def _served_beside(manifest_key: str, copies: NodeCopies) -> WeightsRef | None:
    try:
        return read_manifest(copies.store, sibling_key(manifest_key, "manifest.json"))[1]
    except NotFound:
        return None


def _base(spec: JobSpec) -> StartingPoint:
    return StartingPoint(base_folder(spec.base), is_base=True)


def _tuned(spec: JobSpec, manifest_key: str, copies: NodeCopies, data: Dataset) -> StartingPoint:
    base = base_folder(spec.base)
    restores = spec.config.restore_optimizer
    manifest, parent, tuned = copies.served(manifest_key)
    with kept_alive(copies.heartbeat):
        digest = base_digest(base)
    if manifest.base_digest != digest:
        raise _mismatch(f"it was trained on another base, {manifest.base_alias}")
    if manifest.form == "full":
        if data.class_ids is not None:
            _check_classes(tuned, data)
        is_continued = restores and spec.config.type == "full"
        if restores and not is_continued:
            raise _other_parameters()
        state = _state(manifest_key, copies) if is_continued else None
        return StartingPoint(tuned, is_base=False, parent=parent, state=state)
    if spec.config.type != "full":
        has_state = restores or manifest.form == "prefix"
        state = _state(manifest_key, copies) if has_state else adapter_state(tuned)
        return StartingPoint(
            base, is_base=True, adapter=tuned, form=manifest.form, parent=parent, state=state
        )
    if manifest.form == "prefix":
        raise _mismatch("a tuned prefix cannot be merged into the weights of a full fine-tune")
    if restores:
        raise _other_parameters()
    merged = copies.folder / f"{parent.digest}-merged"
    with made_once(merged, copies.heartbeat) as is_ours:
        if is_ours:
            arriving = merged.with_name(f"{merged.name}.{os.getpid()}")
            arriving.mkdir()
            with kept_alive(copies.heartbeat):
                _merge(spec, tuned, data, arriving, is_quantized=manifest.form == "qlora")
            release_dropped_model(torch.device("cpu"))
            arriving.rename(merged)
    return StartingPoint(merged, is_base=False, parent=parent)


def _merge(spec: JobSpec, tuned: Path, data: Dataset, folder: Path, *, is_quantized: bool) -> None:
    from peft import PeftModel

    base = load_merge_base(base_folder(spec.base), spec.base, spec.config, data, is_quantized=is_quantized)
    merge(PeftModel.from_pretrained(base, tuned), load_tokenizer(spec.base), "float32", folder)


def _state(manifest_key: str, copies: NodeCopies) -> SavedState:
    try:
        return copies.state(manifest_key)[1]
    except NotFound as error:
        raise _mismatch("its optimizer state is not kept") from error


def _check_classes(tuned: Path, data: Dataset) -> None:
    """Checks that the rows of an encoder's head still stand for the same classes."""
    labels = json.loads((tuned / "config.json").read_text())["id2label"]
    before = tuple(labels[str(number)] for number in range(len(labels)))
    if before != data.class_names:
        raise _mismatch(
            f"it knows the classes {', '.join(before)[:200]}, and the training file has "
            f"{', '.join(data.class_names)[:200]}"
        )


def _other_parameters() -> TrainingFailed:
    return TrainingFailed(
        "The checkpoint's optimizer belongs to other parameters than this job trains; leave "
        "training.restore_optimizer out.",
        code="checkpoint_mismatch",
        param="training.restore_optimizer",
    )


def _mismatch(reason: str) -> TrainingFailed:
    return TrainingFailed(
        f"The checkpoint cannot be continued: {reason}.",
        code="checkpoint_mismatch",
        param="training.from_checkpoint",
    )
