"""A base class for data that others write: request bodies and rows of training files."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema


class StrictModel(BaseModel):
    """A JSON object under strict rules.

    - Types are JSON's: no text for a number, no `1` for `true`, no `2.0` for an integer.
    - An unknown key is refused, because a misspelt option must not be ignored.
    - null means absent, except for a required key. This holds for unknown keys too: clients send null for
      parameters that they know but do not use, and they may be newer than this server."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        return {key: value for key, value in data.items() if value is not None or cls._is_required(key)}

    @classmethod
    def _is_required(cls, key: str) -> bool:
        field = cls.model_fields.get(key)
        return field is not None and field.is_required()


Ignored = SkipJsonSchema[Annotated[Any, Field(exclude=True)]]
"""A key that clients send and that this server ignores."""
