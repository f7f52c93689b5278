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
    from ..models.supervised_method import SupervisedMethod


T = TypeVar("T", bound="Method")


@_attrs_define
class Method:
    """
    Attributes:
        type_ (Literal['supervised']):
        supervised (SupervisedMethod):
    """

    type_: Literal["supervised"]
    supervised: SupervisedMethod
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
        from ..models.supervised_method import SupervisedMethod  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["supervised"], d.pop("type"))
        if type_ != "supervised":
            raise ValueError(f"type must match const 'supervised', got '{type_}'")

        supervised = SupervisedMethod.from_dict(d.pop("supervised"))

        method = cls(
            type_=type_,
            supervised=supervised,
        )

        method.additional_properties = d
        return method

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
