"""Exports of models: request body and public objects."""

from typing import Literal

from cluster.contracts.exports import ExportFormat, Quantization
from service.api.schemas.base import Answer, Body


class ExportModelBody(Body):
    format: ExportFormat
    """`merged`: a folder for transformers, with the adapter merged into its base. `gguf`: files for llama.cpp
    and programs based on it."""
    quantization: Quantization | None = None
    """Quantization of matrices in GGUF files. `f16`, the default: half precision. `bf16`: bfloat16. `q8_0`: 8
    bits, about half the size."""


class ExportError(Answer):
    code: str
    message: str
    param: str | None


class ExportedBytes(Answer):
    """How much of an export is stored."""

    done: int
    total: int | None
    """Null until it is known."""


class ModelExport(Answer):
    object: Literal["model.export"] = "model.export"
    id: str
    model: str
    format: ExportFormat
    quantization: Quantization | None
    """Null for `merged`."""
    status: Literal["queued", "running", "succeeded", "failed"]
    bytes: ExportedBytes
    error: ExportError | None
    """Why the export failed."""
    created_at: int
    finished_at: int | None
    expires_at: int | None
    """When it will be deleted; null until it has ended."""


class ModelExportList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelExport]
    has_more: bool


class DeletedExport(Answer):
    object: Literal["model.export"] = "model.export"
    id: str
    deleted: Literal[True] = True
