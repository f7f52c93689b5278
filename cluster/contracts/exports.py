"""Exporting tuned weights to formats that other programs load: what the service asks the cluster, and the
answer."""

import hashlib
from typing import Literal

from pydantic import Field

from cluster.contracts.bases import BaseSpec
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.manifest import ManifestFile
from cluster.contracts.weights import WeightsRef

ExportFormat = Literal["merged", "gguf"]
"""`merged`: a folder for transformers, with the adapter merged into the base. `gguf`: files for llama.cpp."""

Quantization = Literal["f16", "bf16", "q8_0"]
"""How GGUF files store matrices: half precision, bfloat16, or 8 bits with a scale for 32 numbers."""


class ExportRequest(FrozenModel):
    export_id: str
    project_id: str
    """Project that the export belongs to: projects take turns."""
    model: str
    """The tuned model's public name."""
    base: BaseSpec
    weights: WeightsRef
    format: ExportFormat
    quantization: Quantization | None = None
    """None for `merged`."""
    encryption_key: str | None = None
    """The project's key, with which storage encrypts what is written for it. None: it has none."""


class ExportManifest(FrozenModel):
    """`manifest.json` of an export, which is written last."""

    format: ExportFormat
    quantization: Quantization | None
    weights_sha256: str
    """SHA-256 of the manifest of the tuned weights."""
    base_digest: str
    files: list[ManifestFile]


class ExportProgress(FrozenModel):
    """How much of an export is stored."""

    done_bytes: int = Field(ge=0)
    total_bytes: int | None
    """None until the tuned weights and the base have been read."""


class Export(FrozenModel):
    """A finished export in storage."""

    manifest_sha256: str
    bytes: int
    """Bytes of all files of the export, without the manifest."""


def export_of(manifest: bytes) -> Export:
    """Returns the export whose manifest has this content."""
    files = ExportManifest.model_validate_json(manifest).files
    return Export(
        manifest_sha256=hashlib.sha256(manifest).hexdigest(), bytes=sum(file.bytes for file in files)
    )


class ExportAnswer(FrozenModel):
    """Where an export is. Ask again until there is a `result`."""

    progress: ExportProgress
    result: Export | None = None
