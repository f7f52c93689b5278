"""The files of a tuned model's weights, as its owner downloads them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from pydantic import ValidationError

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.manifest import Manifest, weight_file_names
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import sibling_key
from cluster.storage.store import ObjectStore
from service.api.weights.card import CARD_NAME, model_card

_ALLOWED = {".safetensors", ".json", ".jinja", ".model", ".txt"}
"""Weights, configuration, tokenizer and template: nothing that runs code when it is read."""


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
    manifest: Manifest
    digest: str
    """Of everything in the folder."""
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
    """The stored files of the model `name` without those that only a resumed run needs, and a model card.

    Raises NotFound if the manifest is not in storage, and CorruptArtefact if it is not the one that the model
    was published with."""
    content = store.get(weights.manifest_key)
    if hashlib.sha256(content).hexdigest() != weights.digest:
        raise CorruptArtefact(f"The manifest {weights.manifest_key} is not the published one.")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {weights.manifest_key} cannot be read.") from error
    served = {file for file in weight_file_names(manifest) if PurePath(file).suffix in _ALLOWED}
    files = [
        WeightsFile(file.name, sibling_key(weights.manifest_key, file.name), file.bytes, file.sha256)
        for file in manifest.files
        if file.name in served
    ]
    card = model_card(name, manifest, bases.get(manifest.base_alias)).encode()
    files.append(WeightsFile(CARD_NAME, card, len(card), hashlib.sha256(card).hexdigest()))
    files.sort(key=lambda file: file.name)
    listed = "".join(f"{file.name} {file.sha256}\n" for file in files)
    return ModelFolder(manifest, hashlib.sha256(listed.encode()).hexdigest(), tuple(files))
