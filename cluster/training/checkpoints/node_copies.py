"""Checkpoints on this machine, downloaded once for all of its workers, and only as far as they are read."""

import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import distributed

from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.manifest import Manifest, ManifestFile, is_resume_file
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import sibling_key
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints import resume_state
from cluster.training.checkpoints.checkpoint import (
    RESUME_MANIFEST,
    download,
    download_file,
    read_manifest,
)
from cluster.training.checkpoints.resume_state import (
    EXTRAS,
    MOMENTS,
    WEIGHTS,
    ResumeManifest,
    SavedState,
)
from cluster.training.checkpoints.saved_tensors import SavedTensor, index_of_file
from cluster.training.loop.progress import Progress
from cluster.training.node_folder import made_once

_FORMER_FILES = {
    "resume_weights.safetensors": WEIGHTS,
    "resume_optimizer.safetensors": MOMENTS,
    "resume_extras.safetensors": EXTRAS,
}
_FORMER_PROGRESS = "resume_progress.json"


@dataclass(frozen=True, slots=True)
class NodeCopies:
    store: ObjectStore
    folder: Path
    """Shared by the workers of this machine."""
    heartbeat: Callable[[], None] = lambda: None
    group: Any = None
    """Process group of all workers, who wait in it until each has read its parts of a state."""

    def served(self, manifest_key: str) -> tuple[Manifest, WeightsRef, Path]:
        """The folder with a checkpoint's served files. Raises CorruptArtefact and NotFound as `download`
        does."""
        manifest, ref = read_manifest(self.store, manifest_key)
        place = self.folder / ref.digest
        with made_once(place, self.heartbeat) as is_ours:
            if is_ours:
                arriving = place.with_name(f"{place.name}.{os.getpid()}")
                arriving.mkdir()
                download(self.store, manifest_key, arriving, on_progress=self.heartbeat)
                arriving.rename(place)
        return manifest, ref, place

    def state(self, manifest_key: str) -> tuple[ResumeManifest, SavedState]:
        """Returns the resume state of a checkpoint, which may be named by either of its manifests. Raises
        NotFound if the checkpoint has none, and CorruptArtefact if it cannot be read."""
        key = sibling_key(manifest_key, RESUME_MANIFEST)
        try:
            manifest = resume_state.read_manifest(self.store.get(key), key)
        except NotFound:
            manifest = self._former_state(sibling_key(manifest_key, "manifest.json"))
        files = {file.name: file for file in manifest.files}

        def fetch(name: str) -> Path:
            return self._file(key, files[name])

        return manifest, SavedState(
            manifest.progress,
            manifest.best,
            manifest.tensors,
            fetch,
            group=self.group,
            heartbeat=self.heartbeat,
        )

    def drop_states(self) -> None:
        """Deletes this machine's files of resume states, which are as large as the memory that training
        takes. All workers call this once they have read their parts, and wait for each other."""
        if self.group is not None:
            distributed.barrier(self.group)
        for path in self.folder.glob("*/resume_*"):
            path.unlink(missing_ok=True)

    def _file(self, manifest_key: str, file: ManifestFile) -> Path:
        path = self.folder / file.sha256 / file.name
        with made_once(path, self.heartbeat) as is_ours:
            if is_ours:
                download_file(self.store, file, manifest_key, path, self.heartbeat)
        return path

    def _former_state(self, manifest_key: str) -> ResumeManifest:
        """Returns the state in a checkpoint of an earlier release, in which the first worker wrote the whole
        state."""
        served, _ = read_manifest(self.store, manifest_key)
        files = {file.name: file for file in served.files if is_resume_file(file.name)}
        if served.config is None or served.data_sha256 is None or not files:
            raise NotFound(f"The checkpoint {manifest_key!r} has no resume state.")
        try:
            tensors: dict[str, SavedTensor] = {}
            for name, prefix in _FORMER_FILES.items():
                path = self._file(manifest_key, files[name])
                tensors |= index_of_file(path, lambda key, prefix=prefix: prefix + key)  # type: ignore[misc]
            kept = json.loads(self._file(manifest_key, files[_FORMER_PROGRESS]).read_text())
        except KeyError as error:
            raise CorruptArtefact(f"The checkpoint {manifest_key!r} lacks {error}.") from error
        progress = kept["progress"]
        if progress["best_loss"] is None:
            progress["best_loss"] = math.inf
        best = None
        if kept["best"] is not None:
            best_key, digest = kept["best"]
            best = WeightsRef(digest=digest, manifest_key=best_key, form=served.form)
        return ResumeManifest(
            job_id=served.job_id,
            attempt=served.attempt,
            step=served.step,
            base_digest=served.base_digest,
            data_sha256=served.data_sha256,
            training_type=served.config.type,
            progress=Progress(**progress),
            best=best,
            files=list(files.values()),
            tensors=tensors,
        )


def adapter_state(folder: Path) -> SavedState:
    """Returns the state of a run at its first step, made from PEFT's LoRA weights, which are exactly the
    trainable ones."""

    def name_of(key: str) -> str:
        # PEFT leaves the adapter's name out of its files.
        return WEIGHTS + re.sub(r"(?<=\.lora_[AB])(?=\.weight$)", ".default", key)

    index = index_of_file(folder / "adapter_model.safetensors", name_of)
    return SavedState(Progress(), None, index, lambda name: folder / name)
