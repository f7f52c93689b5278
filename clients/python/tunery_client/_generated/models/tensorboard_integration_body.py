from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="TensorboardIntegrationBody")


@_attrs_define
class TensorboardIntegrationBody:
    """Writes the job's metrics as a file for TensorBoard when its model is published.

    Attributes:
        type_ (Literal['tensorboard']):
    """

    type_: Literal["tensorboard"]

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["tensorboard"], d.pop("type"))
        if type_ != "tensorboard":
            raise ValueError(f"type must match const 'tensorboard', got '{type_}'")

        tensorboard_integration_body = cls(
            type_=type_,
        )

        return tensorboard_integration_body
