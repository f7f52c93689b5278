from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="UpdatePoolBody")


@_attrs_define
class UpdatePoolBody:
    """
    Attributes:
        max_devices (int | None): The most devices that jobs may hold at once. With 0, none starts there; null removes
            the limit.
    """

    max_devices: int | None

    def to_dict(self) -> dict[str, Any]:
        max_devices: int | None
        max_devices = self.max_devices

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "max_devices": max_devices,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_max_devices(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_devices = _parse_max_devices(d.pop("max_devices"))

        update_pool_body = cls(
            max_devices=max_devices,
        )

        return update_pool_body
