"""Tuned weights from storage to a folder on this machine, every byte checked against its manifest."""

import hashlib
import os
import shutil
import uuid
from pathlib import Path

from pydantic import ValidationError

from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.contracts.generation import AdapterRef
from cluster.contracts.manifest import Manifest, ManifestFile, weight_file_names
from cluster.storage.keys import sibling_key
from cluster.storage.store import ObjectStore

_ALLOWED = {".safetensors", ".json", ".jinja", ".model", ".txt", ".md"}
"""No pickles: they run code when they are read."""


class WeightsFolder:
    """A folder of weights by digest, which outlives the process and may be shared by several.

    Keeps at most `max_entries`, the least recently used go first. Methods block and may run in any thread,
    one at a time for the same digest.
    """

    def __init__(self, root: Path, store: ObjectStore, *, max_entries: int = 128) -> None:
        self._root = root
        self._store = store
        self._max_entries = max_entries

    def fetch(self, ref: AdapterRef, *, base_digest: str, template_digest: str) -> Path:
        """The folder with the weight files that the manifest names, downloaded unless they are here whole.

        Raises CorruptArtefact if any byte differs from its digest, InvalidRequest if the weights were trained
        on another base or with another chat template, and storage's NotFound and Unavailable.
        """
        manifest = self._manifest(ref)
        _check_fits(manifest, ref, base_digest, template_digest)
        wanted = set(weight_file_names(manifest))
        files = [file for file in manifest.files if file.name in wanted]
        keys = {file.name: sibling_key(ref.manifest_key, file.name) for file in files}
        folder = self._root / ref.digest
        if not _is_whole(folder, files):
            self._download(folder, files, keys)
        os.utime(folder)
        self._prune()
        return folder

    def _manifest(self, ref: AdapterRef) -> Manifest:
        content = self._store.get(ref.manifest_key)
        if hashlib.sha256(content).hexdigest() != ref.digest:
            raise CorruptArtefact(f"The manifest {ref.manifest_key} is not the one with digest {ref.digest}.")
        try:
            return Manifest.model_validate_json(content)
        except ValidationError as error:
            raise CorruptArtefact(f"The manifest {ref.manifest_key} cannot be read: {error}") from error

    def _download(self, folder: Path, files: list[ManifestFile], keys: dict[str, str]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        unfinished = self._root / f".{folder.name}.{uuid.uuid4().hex}"
        unfinished.mkdir()
        try:
            for file in files:
                found = self._store.download(keys[file.name], unfinished / file.name)
                if found.sha256 != file.sha256:
                    raise CorruptArtefact(
                        f"The stored bytes of {keys[file.name]} differ from their manifest."
                    )
            shutil.rmtree(folder, ignore_errors=True)
            try:
                unfinished.rename(folder)
            except OSError:
                # Another process was quicker; what it has is as good if it is whole.
                if not _is_whole(folder, files):
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _prune(self) -> None:
        entries = [entry for entry in self._root.iterdir() if not entry.name.startswith(".")]
        entries.sort(key=lambda entry: entry.stat().st_mtime)
        for entry in entries[: -self._max_entries]:
            shutil.rmtree(entry, ignore_errors=True)


def _check_fits(manifest: Manifest, ref: AdapterRef, base_digest: str, template_digest: str) -> None:
    if manifest.form != ref.form:
        raise InvalidRequest(f"These weights are of form '{manifest.form}', not '{ref.form}'.", param="model")
    if manifest.base_digest != base_digest:
        raise InvalidRequest(
            f"These weights were trained on {manifest.base_alias} with digest {manifest.base_digest}; "
            f"the base served here has {base_digest}.",
            param="model",
        )
    if manifest.template_sha256 != template_digest:
        raise InvalidRequest(
            "These weights were trained with another chat template than the base has now.", param="model"
        )
    for name in weight_file_names(manifest):
        if Path(name).suffix not in _ALLOWED:
            allowed = ", ".join(sorted(_ALLOWED))
            raise InvalidRequest(f"Weight file {name!r} is not allowed; only {allowed} are.", param="model")


def _is_whole(folder: Path, files: list[ManifestFile]) -> bool:
    return folder.is_dir() and all(_sha256(folder / file.name) == file.sha256 for file in files)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None
