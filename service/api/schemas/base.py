"""What the bodies of requests and responses have in common."""

import re
from typing import Annotated, Any, Generic, Literal, NoReturn, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError, PydanticUseDefault
from typing_extensions import TypeAliasType

from cluster.contracts.strict_model import StrictModel

_UNKNOWN_KEYS = 32
"""More than these are not told one by one: thousands would be as many errors."""


class Body(StrictModel):
    """A request body, or a part of one. Its lists are either short or fail fast, so that a wrong body has few
    errors."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_many_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict) and len(data) > len(cls.model_fields) + _UNKNOWN_KEYS:
            known = len(cls.model_fields)
            message = f"An object in the body has {len(data)} keys; this one has {known} at most."
            raise PydanticCustomError(
                "cross_field", "{message}", {"message": message, "param": None, "code": None}
            )
        return data


class Answer(BaseModel):
    """A response body, or a part of one. Every field is always present."""

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class Piece(Answer):
    """A part of a streamed response. Fields without news are left out."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


class Identified(Answer):
    id: str


Item = TypeVar("Item", bound=Identified)


class ItemList(Answer, Generic[Item]):
    """A page of a list. `last_id` is the `after` of the next one."""

    # There are none. To find that out, pydantic would search all modules of the process for each kind of
    # item, for 0.3 s at each start.
    model_config = ConfigDict(use_attribute_docstrings=False)

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, data: list[Item], *, has_more: bool) -> Self:
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return cls(data=data, first_id=first, last_id=last, has_more=has_more)


Absent = SkipJsonSchema[None]
"""None for a parameter that was not sent. Queries and forms have no null."""


def _refuse(_: object) -> NoReturn:
    raise PydanticCustomError("unsupported", "This server does not support it; leave it out")


Unsupported = SkipJsonSchema[Annotated[None, BeforeValidator(_refuse)]]
"""An OpenAI parameter that would change the answer and is not supported: refused unless it is null."""


def _default_if_empty(value: Any) -> Any:
    if value in ("", [""]):
        raise PydanticUseDefault
    return value


def _reading(pattern: str, expected: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern, _default_if_empty(value)):
            raise PydanticCustomError(
                "unreadable",
                "expected {expected}, but got '{value}' instead",
                {"expected": expected, "value": value[:64]},
            )
        return value

    return BeforeValidator(check)


# For query and form parameters. An empty one counts as absent, because openai-node sends null that way.
# pydantic alone would also read "5.0", " 5" and "1_000" as numbers, "on" as true, and any number as a date.
OrDefault = BeforeValidator(_default_if_empty)
WholeNumber = _reading(r"-?[0-9]{1,18}", "a whole number")
Flag = _reading("true|false", "true or false")


def at_most(maximum: int) -> AfterValidator:
    """Takes a greater number for `maximum`: a page may be shorter than its `limit`, and says `has_more`."""
    return AfterValidator(lambda number: min(number, maximum))


Day = _reading("[0-9]{4}-[0-9]{2}-[0-9]{2}", "a date such as 2026-01-31")


MAX_PAIRS = 16

# TypeAliasType gives a type its own name in the OpenAPI document, and so in generated clients.
Metadata = TypeAliasType(
    "Metadata",
    Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
        Field(max_length=MAX_PAIRS),
    ],
)
"""At most 16 pairs of strings."""

JsonObject = TypeAliasType("JsonObject", dict[str, Any])
"""Any JSON object."""


class ApiError(Answer):
    message: str
    type: str
    param: str | None
    """The invalid parameter, e.g. `messages[2].role`."""
    code: str | None
    """Machine-readable error code, e.g. `model_not_found`."""


class ErrorAnswer(Answer):
    """The body of every response with a status of 400 or above."""

    error: ApiError


class InputUsage(Answer):
    """Tokens of all inputs. No text is generated."""

    prompt_tokens: int
    total_tokens: int


class Deleted(Answer):
    id: str
    object: Literal["file", "model"]
    deleted: Literal[True] = True
