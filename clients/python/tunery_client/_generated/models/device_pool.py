from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.device_pool_kind import DevicePoolKind, check_device_pool_kind

T = TypeVar("T", bound="DevicePool")


@_attrs_define
class DevicePool:
    """
    Attributes:
        name (str):
        object_ (Literal['organization.pool']):  Default: 'organization.pool'.
        kind (DevicePoolKind):
        accelerator_type (None | str):
        nodes (int): The most that it can have.
        devices (int): Devices of all these nodes.
        held_devices (int): Devices that training holds, for all organizations.
        max_devices (int | None): The most that jobs may hold at once, if an operator has limited them.
        price (float): Price of one device-second, relative to the other pools' prices.
    """

    name: str
    kind: DevicePoolKind
    accelerator_type: None | str
    nodes: int
    devices: int
    held_devices: int
    max_devices: int | None
    price: float
    object_: Literal["organization.pool"] = "organization.pool"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        object_ = self.object_

        kind: str = self.kind

        accelerator_type: None | str
        accelerator_type = self.accelerator_type

        nodes = self.nodes

        devices = self.devices

        held_devices = self.held_devices

        max_devices: int | None
        max_devices = self.max_devices

        price = self.price

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "object": object_,
                "kind": kind,
                "accelerator_type": accelerator_type,
                "nodes": nodes,
                "devices": devices,
                "held_devices": held_devices,
                "max_devices": max_devices,
                "price": price,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        object_ = cast(Literal["organization.pool"], d.pop("object"))
        if object_ != "organization.pool":
            raise ValueError(f"object must match const 'organization.pool', got '{object_}'")

        kind = check_device_pool_kind(d.pop("kind"))

        def _parse_accelerator_type(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        accelerator_type = _parse_accelerator_type(d.pop("accelerator_type"))

        nodes = d.pop("nodes")

        devices = d.pop("devices")

        held_devices = d.pop("held_devices")

        def _parse_max_devices(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_devices = _parse_max_devices(d.pop("max_devices"))

        price = d.pop("price")

        device_pool = cls(
            name=name,
            object_=object_,
            kind=kind,
            accelerator_type=accelerator_type,
            nodes=nodes,
            devices=devices,
            held_devices=held_devices,
            max_devices=max_devices,
            price=price,
        )

        device_pool.additional_properties = d
        return device_pool

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
