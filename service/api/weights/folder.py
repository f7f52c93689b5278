"""The files with a tuned model's weights, as its owner downloads them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.exports import ExportManifest
from cluster.contracts.manifest import Manifest, ManifestFile, weight_file_names
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import export_manifest_key, sibling_key
from cluster.storage.store import ObjectStore
from service.api.weights.card import CARD_NAME, FolderForm, model_card
from service.db.models.exports import ModelExport

_Manifest = TypeVar("_Manifest", bound=BaseModel)

_ALLOWED = {".safetensors", ".json", ".jinja", ".model", ".txt"}
"""Weights, configuration, tokenizer and template: no file type that runs code when it is read."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    name: str
    source: str | bytes
    """The key of its object in storage, or its content."""
    bytes: int
    sha256: str
    """Hex digest."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    form: FolderForm
    digest: str
    """Digest of everything in the folder."""
    files: tuple[WeightsFile, ...]
    """Sorted by name."""

    def file(self, name: str) -> WeightsFile:
        """Raises NotFound (`file_not_found`)."""
        for file in self.files:
            if file.name == name:
                return file
        raise NotFound(
            f"The model's weights have no file '{name}'; they have "
            f"{', '.join(file.name for file in self.files)}.",
            code="file_not_found",
            param="filename",
        )


def model_folder(
    name: str, weights: WeightsRef, store: ObjectStore, bases: Mapping[str, BaseSpec]
) -> ModelFolder:
    """The stored files of the model `name`, without files that only a resumed run needs, and a model card.

    Raises NotFound if the manifest is not in storage, and CorruptArtefact if it is not the one with which the
    model was published."""
    manifest = _read(Manifest, store, weights.manifest_key, weights.digest)
    served = {file for file in weight_file_names(manifest) if PurePath(file).suffix in _ALLOWED}
    files = [file for file in manifest.files if file.name in served]
    card = model_card(name, manifest, bases.get(manifest.base_alias))
    return _folder(manifest.form, weights.manifest_key, files, card)


def export_folder(
    name: str, export: ModelExport, store: ObjectStore, bases: Mapping[str, BaseSpec]
) -> ModelFolder:
    """The same for an export that has succeeded."""
    assert export.export_sha256 is not None, "it has succeeded"
    key = export_manifest_key(export.id)
    exported = _read(ExportManifest, store, key, export.export_sha256)
    trained = _read(Manifest, store, export.weights.manifest_key, export.weights.digest)
    form: FolderForm = "gguf" if export.format == "gguf" else "full"
    card = model_card(name, trained, bases.get(trained.base_alias), form)
    return _folder(form, key, exported.files, card)


def _folder(form: FolderForm, manifest_key: str, stored: Iterable[ManifestFile], card: str) -> ModelFolder:
    files = [
        WeightsFile(file.name, sibling_key(manifest_key, file.name), file.bytes, file.sha256)
        for file in stored
    ]
    readme = card.encode()
    files.append(WeightsFile(CARD_NAME, readme, len(readme), hashlib.sha256(readme).hexdigest()))
    files.sort(key=lambda file: file.name)
    listed = "".join(f"{file.name} {file.sha256}\n" for file in files)
    return ModelFolder(form, hashlib.sha256(listed.encode()).hexdigest(), tuple(files))


def _read(kind: type[_Manifest], store: ObjectStore, key: str, digest: str) -> _Manifest:
    content = store.get(key)
    if hashlib.sha256(content).hexdigest() != digest:
        raise CorruptArtefact(f"The manifest {key} is not the published one.")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {key} cannot be read.") from error
