"""The weights that a run begins with: the base, another job's tuned weights, or the job's own checkpoint."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.bases.resolve import base_digest, base_folder
from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.jobs import JobSpec
from cluster.contracts.weights import WeightsRef
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.checkpoint import check_same_run, download
from cluster.training.checkpoints.export import merge
from cluster.training.checkpoints.training_state import TrainingState, read_adapter_state, read_state
from cluster.training.data.dataset import Dataset
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.model.trainee import load_merge_base


@dataclass(slots=True)
class StartingPoint:
    weights: Path
    """The folder from which the model is loaded."""
    is_base: bool
    """Whether these are the catalogue's own weights."""
    adapter: Path | None = None
    """The folder of a checkpoint whose adapter is continued."""
    form: WeightsForm = "lora"
    """The form in which that checkpoint is served."""
    parent: WeightsRef | None = None
    """The tuned weights that the job began with."""
    state: TrainingState | None = None
    """The training state of the run that is continued, if its adapter or its optimizer is needed."""
    resumed: TrainingState | None = None
    """This job's own training state at an earlier step."""
    resumed_from: WeightsRef | None = None

    def forget(self) -> None:
        """Drops the tensors of earlier runs once they have been copied into the model and its optimizer."""
        self.state = self.resumed = None


def find_starting_point(spec: JobSpec, store: ObjectStore, data: Dataset, folder: Path) -> StartingPoint:
    """Downloads what the run begins with into `folder`.

    Raises TrainingFailed if the tuned weights cannot be continued this way, and NotFound, Unavailable and
    CorruptArtefact as storage does.
    """
    start = _base(spec) if spec.start_from is None else _tuned(spec, spec.start_from, store, data, folder)
    if spec.resume_from is None:
        return start
    own = folder / "resumed"
    own.mkdir()
    manifest, saved = download(store, spec.resume_from, own)
    check_same_run(spec, manifest)
    return replace(start, resumed=read_state(own, manifest.form), resumed_from=saved)


def _base(spec: JobSpec) -> StartingPoint:
    return StartingPoint(base_folder(spec.base), is_base=True)


def _tuned(
    spec: JobSpec, manifest_key: str, store: ObjectStore, data: Dataset, folder: Path
) -> StartingPoint:
    base = base_folder(spec.base)
    tuned = folder / "start"
    tuned.mkdir()
    restores = spec.config.restore_optimizer
    manifest, parent = download(store, manifest_key, tuned, with_resume_state=restores)
    if manifest.base_digest != base_digest(base):
        raise _mismatch(f"it was trained on another base, {manifest.base_alias}")
    if manifest.form == "full":
        if data.class_ids is not None:
            _check_classes(tuned, data)
        is_continued = restores and spec.config.type == "full"
        if restores and not is_continued:
            raise _other_parameters()
        state = read_state(tuned, "full") if is_continued else None
        return StartingPoint(tuned, is_base=False, parent=parent, state=state)
    if spec.config.type != "full":
        has_state = restores or manifest.form == "prefix"
        state = read_state(tuned, manifest.form) if has_state else read_adapter_state(tuned)
        return StartingPoint(
            base, is_base=True, adapter=tuned, form=manifest.form, parent=parent, state=state
        )
    from peft import PeftModel

    if manifest.form == "prefix":
        raise _mismatch("a tuned prefix cannot be merged into the weights of a full fine-tune")
    if restores:
        raise _other_parameters()
    merged = folder / "merged"
    merged.mkdir()
    whole = load_merge_base(base, spec.base, spec.config, data, is_quantized=manifest.form == "qlora")
    merge(PeftModel.from_pretrained(whole, tuned), load_tokenizer(spec.base), "float32", merged)
    return StartingPoint(merged, is_base=False, parent=parent)


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
