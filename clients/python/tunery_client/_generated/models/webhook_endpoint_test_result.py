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

T = TypeVar("T", bound="WebhookEndpointTestResult")


@_attrs_define
class WebhookEndpointTestResult:
    """
    Attributes:
        object_ (Literal['webhook_endpoint.test']):  Default: 'webhook_endpoint.test'.
        webhook_endpoint_id (str):
        event_type (str):
        status_code (int): What the receiver answered.
        success (bool): The receiver has answered, with whatever status. Default: True.
    """

    webhook_endpoint_id: str
    event_type: str
    status_code: int
    object_: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    success: bool = True
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        webhook_endpoint_id = self.webhook_endpoint_id

        event_type = self.event_type

        status_code = self.status_code

        success = self.success

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "webhook_endpoint_id": webhook_endpoint_id,
                "event_type": event_type,
                "status_code": status_code,
                "success": success,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["webhook_endpoint.test"], d.pop("object"))
        if object_ != "webhook_endpoint.test":
            raise ValueError(f"object must match const 'webhook_endpoint.test', got '{object_}'")

        webhook_endpoint_id = d.pop("webhook_endpoint_id")

        event_type = d.pop("event_type")

        status_code = d.pop("status_code")

        success = d.pop("success")

        webhook_endpoint_test_result = cls(
            object_=object_,
            webhook_endpoint_id=webhook_endpoint_id,
            event_type=event_type,
            status_code=status_code,
            success=success,
        )

        webhook_endpoint_test_result.additional_properties = d
        return webhook_endpoint_test_result

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
