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
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.dpo import Dpo


T = TypeVar("T", bound="DpoMethod")


@_attrs_define
class DpoMethod:
    """
    Attributes:
        type_ (Literal['dpo']):  Default: 'dpo'.
        dpo (Dpo):
    """

    dpo: Dpo
    type_: Literal["dpo"] = "dpo"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        dpo = self.dpo.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "dpo": dpo,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.dpo import Dpo  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["dpo"], d.pop("type"))
        if type_ != "dpo":
            raise ValueError(f"type must match const 'dpo', got '{type_}'")

        dpo = Dpo.from_dict(d.pop("dpo"))

        dpo_method = cls(
            type_=type_,
            dpo=dpo,
        )

        dpo_method.additional_properties = d
        return dpo_method

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
