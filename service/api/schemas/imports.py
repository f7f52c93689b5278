"""Imports of adapters: request body and public objects."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.base import Answer, Body


class ImportModelBody(Body):
    base: str
    """Id of the base model that the adapter was trained on."""
    files: Annotated[list[str], Field(min_length=2, max_length=2)]
    """Ids of the uploaded files `adapter_config.json` and `adapter_model.safetensors`, in any order. Upload
    them with the purpose `user_data`."""
    suffix: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")] | None = None
    """Becomes part of the model's name."""


class ModelImportError(Answer):
    code: str
    message: str
    param: str | None


class ModelImport(Answer):
    object: Literal["model.import"] = "model.import"
    id: str
    status: Literal["validating", "succeeded", "failed"]
    base: str
    files: list[str]
    model: str | None
    """The new model's name, once the import has succeeded."""
    error: ModelImportError | None
    """Why the import failed."""
    created_at: int
    finished_at: int | None


class ModelImportList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelImport]
    has_more: bool
