"""Aliases of models: request bodies and public objects."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.base import Answer, Body

_Version = Annotated[int, Field(ge=0, le=2**53)]


class SetAliasBody(Body):
    alias: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    """Such as `support@prod`: what the model is for, and which of its stages."""
    version: _Version | None = None
    """The version that the alias must have now, or 0 if it must be new. If it has another one, nothing is
    changed and the answer is 409 `version_conflict`. Without it, the last writer wins."""


class RollBackBody(Body):
    to_version: _Version | None = None
    """The version whose model the alias names again. By default, the one before the last change."""
    version: _Version | None = None
    """The version that the alias must have now."""


class ModelAlias(Answer):
    object: Literal["model.alias"] = "model.alias"
    id: str
    """The alias itself, which requests may give as `model`."""
    model: str
    """The base model, tuned model or checkpoint that it names."""
    is_available: bool
    """False if the model was deleted, or is no longer shared with this project: requests that name the alias
    get 404 until it names another model."""
    version: int
    """The number of changes so far."""
    updated_at: int


class ModelAliasList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelAlias]


class ModelAliasChange(Answer):
    object: Literal["model.alias.change"] = "model.alias.change"
    version: int
    previous_model: str | None
    """Null if the change made the alias."""
    model: str | None
    """Null if the change deleted the alias."""
    api_key_id: str
    """The key with which the change was made."""
    created_at: int


class ModelAliasHistory(Answer):
    object: Literal["list"] = "list"
    data: list[ModelAliasChange]
    has_more: bool


class DeletedAlias(Answer):
    id: str
    object: Literal["model.alias"] = "model.alias"
    deleted: Literal[True] = True
