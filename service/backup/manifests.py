"""Checks whether the files that a manifest lists are in storage."""

from pydantic import BaseModel, ValidationError

from cluster.contracts.errors import CorruptArtefact
from cluster.contracts.manifest import ManifestFile
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import folder_of, sibling_key
from cluster.storage.store import ObjectStore


class ListedFiles(BaseModel):
    """The fields that all manifests share: those of weights, of resume states and of exports."""

    files: list[ManifestFile]
    best: WeightsRef | None = None
    """Weights to which a run that resumes from this state may return."""


def read_listed(store: ObjectStore, manifest_key: str) -> ListedFiles:
    """Raises NotFound, Unavailable, or CorruptArtefact if the object is not a manifest."""
    try:
        return ListedFiles.model_validate_json(store.get(manifest_key))
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {manifest_key!r} cannot be read.") from error


def broken_files(store: ObjectStore, manifest_key: str, listed: ListedFiles) -> dict[str, str]:
    """Problems of the files, by key."""
    folder = folder_of(manifest_key)
    found = {info.key: info.bytes for info in store.list(folder)}
    broken = {}
    for file in listed.files:
        key = sibling_key(manifest_key, file.name)
        if key not in found:
            broken[key] = "is missing"
        elif found[key] != file.bytes:
            broken[key] = f"has {found[key]:,} bytes, and not {file.bytes:,}"
    return broken
