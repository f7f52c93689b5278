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
    from ..models.supervised import Supervised


T = TypeVar("T", bound="SupervisedMethod")


@_attrs_define
class SupervisedMethod:
    """
    Attributes:
        type_ (Literal['supervised']):  Default: 'supervised'.
        supervised (Supervised):
    """

    supervised: Supervised
    type_: Literal["supervised"] = "supervised"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        supervised = self.supervised.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "supervised": supervised,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.supervised import Supervised  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["supervised"], d.pop("type"))
        if type_ != "supervised":
            raise ValueError(f"type must match const 'supervised', got '{type_}'")

        supervised = Supervised.from_dict(d.pop("supervised"))

        supervised_method = cls(
            type_=type_,
            supervised=supervised,
        )

        supervised_method.additional_properties = d
        return supervised_method

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
