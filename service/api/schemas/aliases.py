"""Aliases of models: request bodies and public objects."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from service.api.http.validation import cross_field_error
from service.api.schemas.base import Answer, Body

_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_OPENAI = r"ft:[A-Za-z0-9][A-Za-z0-9._-]{0,127}(:[A-Za-z0-9._-]{0,127}){1,6}"
_AZURE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.ft-[A-Za-z0-9._-]{1,127}"
_NAME = f"^({_WORD}@{_WORD}|{_OPENAI}|{_AZURE})$"


def _checked(alias: str) -> str:
    if not re.fullmatch(_NAME, alias):
        raise cross_field_error(
            "alias",
            "Invalid 'alias': expected a use and a stage, such as 'support@prod', each of at most 63 "
            "letters, digits, '.', '_' and '-' and beginning with a letter or a digit; or a name of "
            "OpenAI's, 'ft:…', or of Azure's, 'gpt-4o-mini.ft-…'.",
            code="invalid_value",
        )
    return alias


_Version = Annotated[int, Field(ge=0, le=2**53)]


class SetAliasBody(Body):
    alias: Annotated[
        str, Field(max_length=255, json_schema_extra={"pattern": _NAME}), AfterValidator(_checked)
    ]
    """A name such as `support@prod`: what the model is for, and its stage. It may also be the name that a
    tuned model had elsewhere, so that requests with that name keep working: OpenAI's `ft:…`, or Azure's
    `gpt-4o-mini.ft-…`. No model of this server may have it."""
    version: _Version | None = None
    """The version that the alias must have now, or 0 if it must be new. Otherwise nothing is changed and the
    answer is 409 `version_conflict`. If it is left out, the last writer wins."""


class RollBackBody(Body):
    to_version: _Version | None = None
    """The version whose model the alias should point at again. By default, the one before the last change."""
    version: _Version | None = None
    """The version that the alias is expected to have now."""


class ModelAlias(Answer):
    object: Literal["model.alias"] = "model.alias"
    id: str
    """The alias itself, which requests can use as `model`."""
    model: str
    """The base model, tuned model or checkpoint that the alias points at."""
    is_available: bool
    """False if the model was deleted, or is no longer shared with this project. Requests that use the alias
    are then answered with 404 until it points at another model."""
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
    """Null if the change created the alias."""
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
