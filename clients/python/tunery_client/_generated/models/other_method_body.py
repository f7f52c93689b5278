from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.other_method_body_type import (
    OtherMethodBodyType,
    check_other_method_body_type,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="OtherMethodBody")


@_attrs_define
class OtherMethodBody:
    """OpenAI's other methods: understood, and refused by name.

    Attributes:
        type_ (OtherMethodBodyType):
        dpo (JsonObject | None | Unset):
        reinforcement (JsonObject | None | Unset):
    """

    type_: OtherMethodBodyType
    dpo: JsonObject | None | Unset = UNSET
    reinforcement: JsonObject | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.json_object import JsonObject  # noqa: PLC0415

        type_: str = self.type_

        dpo: dict[str, Any] | None | Unset
        if isinstance(self.dpo, Unset):
            dpo = UNSET
        elif isinstance(self.dpo, JsonObject):
            dpo = self.dpo.to_dict()
        else:
            dpo = self.dpo

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
        if dpo is not UNSET:
            field_dict["dpo"] = dpo
        if reinforcement is not UNSET:
            field_dict["reinforcement"] = reinforcement

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.json_object import JsonObject  # noqa: PLC0415

        d = dict(src_dict)
        type_ = check_other_method_body_type(d.pop("type"))

        def _parse_dpo(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                dpo_type_0 = JsonObject.from_dict(data)

                return dpo_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        dpo = _parse_dpo(d.pop("dpo", UNSET))

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

        other_method_body = cls(
            type_=type_,
            dpo=dpo,
            reinforcement=reinforcement,
        )

        return other_method_body
