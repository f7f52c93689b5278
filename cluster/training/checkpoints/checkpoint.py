"""Checkpoints in storage: weights in formats that other tools read, and the state that a resume needs.

    adapter_config.json, adapter_model.safetensors    form lora: PEFT's format
    prefix.safetensors                                form prefix: keys and values before every prompt
    config.json, model*.safetensors, tokenizer files  form full: transformers' format
    manifest.json                                     lists the served weights, which do not exist without it
    resume_part-*.safetensors                         each worker's part of the state that a resume needs
    resume_manifest.json                              lists the resume state, which does not exist without it

A step has served weights, a resume state, or both. All files are safetensors or JSON, so nothing in a
checkpoint can be executed.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from cluster.bases.resolve import base_digest, base_folder
from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.jobs import JobSpec
from cluster.contracts.manifest import Manifest, ManifestFile, is_resume_file
from cluster.contracts.weights import WeightsRef
from cluster.storage.files import unobserved
from cluster.storage.keys import sibling_key
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.resume_state import ResumeManifest

RESUME_MANIFEST = "resume_manifest.json"


def upload(store: ObjectStore, folder: Path, manifest_key: str, manifest: Manifest) -> WeightsRef:
    """Uploads every file of `folder`, then the manifest, which lists their sizes and digests. Raises
    CorruptArtefact if a stored file's size differs from the folder's."""
    files = [upload_file(store, path, manifest_key) for path in sorted(folder.iterdir())]
    return write_manifest(store, manifest_key, manifest.model_copy(update={"files": files}))


def upload_file(
    store: ObjectStore, path: Path, manifest_key: str, on_progress: Callable[[], None] = unobserved
) -> ManifestFile:
    """Uploads a file of a checkpoint. Raises CorruptArtefact if the stored file's size differs."""
    key = sibling_key(manifest_key, path.name)
    sent = store.upload(key, path, on_progress=on_progress)
    assert sent.sha256 is not None
    if (stored := store.stat(key).bytes) != sent.bytes:
        raise CorruptArtefact(f"Storage holds {stored} bytes of {key!r} of {sent.bytes}.")
    return ManifestFile(name=path.name, bytes=sent.bytes, sha256=sent.sha256)


def write_manifest(store: ObjectStore, manifest_key: str, manifest: Manifest) -> WeightsRef:
    body = manifest.model_dump_json(indent=1).encode()
    store.put(manifest_key, body)
    return _ref(body, manifest_key, manifest)


def read_manifest(store: ObjectStore, manifest_key: str) -> tuple[Manifest, WeightsRef]:
    """Reads the manifest of a checkpoint. Raises CorruptArtefact if it cannot be read, and NotFound if there
    is none."""
    body = store.get(manifest_key)
    try:
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {manifest_key!r} cannot be read.") from error
    return manifest, _ref(body, manifest_key, manifest)


def download(
    store: ObjectStore,
    manifest_key: str,
    folder: Path,
    *,
    on_progress: Callable[[], None] = unobserved,
) -> tuple[Manifest, WeightsRef]:
    """Downloads the served files of a checkpoint into `folder`. Raises CorruptArtefact if a file is missing
    or differs from the manifest, and NotFound if there is no manifest."""
    manifest, ref = read_manifest(store, manifest_key)
    for file in manifest.files:
        if not is_resume_file(file.name):
            download_file(store, file, manifest_key, folder / file.name, on_progress)
    return manifest, ref


def download_file(
    store: ObjectStore,
    file: ManifestFile,
    manifest_key: str,
    path: Path,
    on_progress: Callable[[], None] = unobserved,
) -> None:
    """Downloads a file that a manifest lists to `path`, where it appears only after its size and digest were
    checked. Raises CorruptArtefact if it is missing or differs."""
    arriving = path.with_name(f"{path.name}.arriving")
    try:
        found = store.download(sibling_key(manifest_key, file.name), arriving, on_progress=on_progress)
    except NotFound as error:
        raise CorruptArtefact(f"{file.name} of checkpoint {manifest_key!r} is missing.") from error
    if (found.bytes, found.sha256) != (file.bytes, file.sha256):
        arriving.unlink()
        raise CorruptArtefact(f"{file.name} of checkpoint {manifest_key!r} differs from its manifest.")
    arriving.replace(path)


def check_same_run(spec: JobSpec, manifest: ResumeManifest) -> None:
    """Raises CorruptArtefact if the state belongs to another base, training file or training type."""
    expected = (base_digest(base_folder(spec.base)), spec.training_sha256, spec.config.type)
    if (manifest.base_digest, manifest.data_sha256, manifest.training_type) != expected:
        raise CorruptArtefact(
            f"The checkpoint of job {manifest.job_id} at step {manifest.step} was trained from another "
            "base or on other data."
        )


def _ref(body: bytes, manifest_key: str, manifest: Manifest) -> WeightsRef:
    digest = hashlib.sha256(body).hexdigest()
    return WeightsRef(digest=digest, manifest_key=manifest_key, form=manifest.form)
