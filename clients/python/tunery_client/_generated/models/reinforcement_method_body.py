from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="ReinforcementMethodBody")


@_attrs_define
class ReinforcementMethodBody:
    """Another method of OpenAI's: recognized, and refused by name.

    Attributes:
        type_ (Literal['reinforcement']):
        reinforcement (JsonObject | None | Unset):
    """

    type_: Literal["reinforcement"]
    reinforcement: JsonObject | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.json_object import JsonObject  # noqa: PLC0415

        type_ = self.type_

        reinforcement: dict[str, Any] | None | Unset
        if isinstance(self.reinforcement, Unset):
            reinforcement = UNSET
        elif isinstance(self.reinforcement, JsonObject):
            reinforcement = self.reinforcement.to_dict()
        else:
            reinforcement = self.reinforcement

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
            }
        )
        if reinforcement is not UNSET:
            field_dict["reinforcement"] = reinforcement

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.json_object import JsonObject  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["reinforcement"], d.pop("type"))
        if type_ != "reinforcement":
            raise ValueError(f"type must match const 'reinforcement', got '{type_}'")

        def _parse_reinforcement(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                reinforcement_type_0 = JsonObject.from_dict(data)

                return reinforcement_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        reinforcement = _parse_reinforcement(d.pop("reinforcement", UNSET))

        reinforcement_method_body = cls(
            type_=type_,
            reinforcement=reinforcement,
        )

        return reinforcement_method_body
