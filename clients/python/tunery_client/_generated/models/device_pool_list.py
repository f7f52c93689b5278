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
    from ..models.device_pool import DevicePool


T = TypeVar("T", bound="DevicePoolList")


@_attrs_define
class DevicePoolList:
    """
    Attributes:
        object_ (Literal['list']):  Default: 'list'.
        data (list[DevicePool]):
        slots (int): The most devices that training uses at once, over all pools.
        queued_jobs (int): Queued jobs of all organizations.
    """

    data: list[DevicePool]
    slots: int
    queued_jobs: int
    object_: Literal["list"] = "list"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        data = []
        for data_item_data in self.data:
            data_item = data_item_data.to_dict()
            data.append(data_item)

        slots = self.slots

        queued_jobs = self.queued_jobs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "data": data,
                "slots": slots,
                "queued_jobs": queued_jobs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.device_pool import DevicePool  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["list"], d.pop("object"))
        if object_ != "list":
            raise ValueError(f"object must match const 'list', got '{object_}'")

        data = []
        _data = d.pop("data")
        for data_item_data in _data:
            data_item = DevicePool.from_dict(data_item_data)

            data.append(data_item)

        slots = d.pop("slots")

        queued_jobs = d.pop("queued_jobs")

        device_pool_list = cls(
            object_=object_,
            data=data,
            slots=slots,
            queued_jobs=queued_jobs,
        )

        device_pool_list.additional_properties = d
        return device_pool_list

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
