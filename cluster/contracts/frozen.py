"""Base classes of the data that components exchange and store."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """An immutable model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NonFiniteModel(FrozenModel):
    """A frozen model whose floats may be NaN or infinite, as a loss can be.

    JSON has no such numbers. They are written as strings, because a null would be refused when it is read."""

    model_config = ConfigDict(ser_json_inf_nan="strings")
