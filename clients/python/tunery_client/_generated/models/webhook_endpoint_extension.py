from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.webhook_endpoint_extension_status import (
    WebhookEndpointExtensionStatus,
    check_webhook_endpoint_extension_status,
)

T = TypeVar("T", bound="WebhookEndpointExtension")


@_attrs_define
class WebhookEndpointExtension:
    """What Tunery adds.

    Attributes:
        status (WebhookEndpointExtensionStatus):
        disabled_at (int | None):
        disabled_reason (None | str): Why nothing is sent any more.
        failures (int): Failed tries since the last success.
    """

    status: WebhookEndpointExtensionStatus
    disabled_at: int | None
    disabled_reason: None | str
    failures: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status: str = self.status

        disabled_at: int | None
        disabled_at = self.disabled_at

        disabled_reason: None | str
        disabled_reason = self.disabled_reason

        failures = self.failures

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "disabled_at": disabled_at,
                "disabled_reason": disabled_reason,
                "failures": failures,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        status = check_webhook_endpoint_extension_status(d.pop("status"))

        def _parse_disabled_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        disabled_at = _parse_disabled_at(d.pop("disabled_at"))

        def _parse_disabled_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        disabled_reason = _parse_disabled_reason(d.pop("disabled_reason"))

        failures = d.pop("failures")

        webhook_endpoint_extension = cls(
            status=status,
            disabled_at=disabled_at,
            disabled_reason=disabled_reason,
            failures=failures,
        )

        webhook_endpoint_extension.additional_properties = d
        return webhook_endpoint_extension

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
