"""The tuned model to export: its tensors, its tokenizer and its configuration."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.bases.pretrained import read_tokenizer
from cluster.bases.resolve import base_digest, base_folder, template_digest
from cluster.bases.text.chat_template import template_text
from cluster.contracts.errors import CorruptArtefact
from cluster.contracts.exports import ExportRequest
from cluster.exporting.merging import merged_tensors
from cluster.exporting.tensors import DTYPES, StoredTensors, Tensors, not_available
from cluster.scratch import require_space
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.checkpoint import download, read_manifest

_DTYPES = {"float32": DTYPES["F32"], "bfloat16": DTYPES["BF16"]}


@dataclass(frozen=True, slots=True)
class Source:
    tensors: Tensors
    folder: Path
    """Folder with the model's configuration."""
    tokenizer: Any
    base_digest: str


def open_source(request: ExportRequest, store: ObjectStore, scratch: Path) -> Source:
    """Downloads the tuned weights into `scratch`, where they must stay while the source is used. An adapter's
    base is read in place.

    Raises InvalidRequest (`format_not_available`) if the weights are of a form that cannot be exported, or if
    the base has changed since they were trained; CorruptArtefact if they are not the published ones; and what
    storage and the base raise."""
    base = base_folder(request.base)
    stored, _ = read_manifest(store, request.weights.manifest_key)
    require_space(scratch, sum(file.bytes for file in stored.files), "the tuned weights")
    manifest, ref = download(store, request.weights.manifest_key, scratch)
    if ref.digest != request.weights.digest:
        raise CorruptArtefact("The stored weights are not the published ones.")
    if manifest.form == "full":
        tokenizer = read_tokenizer(scratch)
        return _source(StoredTensors(scratch), scratch, tokenizer, manifest.base_digest)
    if manifest.form == "prefix":
        raise not_available("a tuned prefix cannot be merged into weights")
    if manifest.base_digest != base_digest(base):
        raise not_available("its base model has other weights now than when it was trained")
    tokenizer = read_tokenizer(base)
    if manifest.template_sha256 != template_digest(template_text(tokenizer)):
        raise not_available("its base model has another chat template now than when it was trained")
    tensors = merged_tensors(
        base, scratch, is_quantized=manifest.form == "qlora", dtype=_DTYPES[request.base.dtype]
    )
    return _source(tensors, base, tokenizer, manifest.base_digest)


def _source(tensors: Tensors, folder: Path, tokenizer: Any, digest: str) -> Source:
    if "quantization_config" in json.loads((folder / "config.json").read_bytes()):
        raise not_available("its base model is stored quantized")
    return Source(tensors, folder, tokenizer, digest)
