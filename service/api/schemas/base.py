"""What the bodies of requests and answers have in common."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypeAliasType


class Body(BaseModel):
    """A request's body, or a part of one. Unknown keys are refused: a misspelt option must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Answer(BaseModel):
    """What the API answers with, or a part of it; every field is always there."""

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class Piece(Answer):
    """A part of a streamed answer; fields without news are left out."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


Absent = SkipJsonSchema[None]
"""None for a parameter that was not sent; unlike null, which no query or form can say."""


# TypeAliasType gives a type a name of its own in the OpenAPI document, and so in generated clients.
Metadata = TypeAliasType(
    "Metadata",
    Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
        Field(max_length=16),
    ],
)
"""At most 16 pairs of text."""

JsonObject = TypeAliasType("JsonObject", dict[str, Any])
"""Any JSON object."""


class ApiError(Answer):
    message: str
    type: str
    param: str | None
    """The parameter that was wrong, e.g. `messages[2].role`."""
    code: str | None
    """For programs, e.g. `model_not_found`."""


class ErrorAnswer(Answer):
    """The body of every status from 400 on."""

    error: ApiError


class InputUsage(Answer):
    """Tokens of all inputs, where no text is generated."""

    prompt_tokens: int
    total_tokens: int


class Deleted(Answer):
    id: str
    object: Literal["file", "model"]
    deleted: Literal[True] = True
