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

from ..models.webhook_delivery_status import (
    WebhookDeliveryStatus,
    check_webhook_delivery_status,
)

T = TypeVar("T", bound="WebhookDelivery")


@_attrs_define
class WebhookDelivery:
    """An event for one endpoint, and its last try.

    Attributes:
        id (str):
        object_ (Literal['webhook_delivery']):  Default: 'webhook_delivery'.
        webhook_endpoint_id (str):
        event_id (str): The `webhook-id` of every try.
        event_type (str):
        created_at (int):
        status (WebhookDeliveryStatus): `failed`: it is not tried again.
        tries (int):
        tried_at (int | None):
        next_try_at (int | None):
        status_code (int | None): HTTP status of the last response.
        error (None | str): Why there was no answer.
        response (None | str): The start of the last answer's body.
    """

    id: str
    webhook_endpoint_id: str
    event_id: str
    event_type: str
    created_at: int
    status: WebhookDeliveryStatus
    tries: int
    tried_at: int | None
    next_try_at: int | None
    status_code: int | None
    error: None | str
    response: None | str
    object_: Literal["webhook_delivery"] = "webhook_delivery"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        webhook_endpoint_id = self.webhook_endpoint_id

        event_id = self.event_id

        event_type = self.event_type

        created_at = self.created_at

        status: str = self.status

        tries = self.tries

        tried_at: int | None
        tried_at = self.tried_at

        next_try_at: int | None
        next_try_at = self.next_try_at

        status_code: int | None
        status_code = self.status_code

        error: None | str
        error = self.error

        response: None | str
        response = self.response

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "webhook_endpoint_id": webhook_endpoint_id,
                "event_id": event_id,
                "event_type": event_type,
                "created_at": created_at,
                "status": status,
                "tries": tries,
                "tried_at": tried_at,
                "next_try_at": next_try_at,
                "status_code": status_code,
                "error": error,
                "response": response,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["webhook_delivery"], d.pop("object"))
        if object_ != "webhook_delivery":
            raise ValueError(f"object must match const 'webhook_delivery', got '{object_}'")

        webhook_endpoint_id = d.pop("webhook_endpoint_id")

        event_id = d.pop("event_id")

        event_type = d.pop("event_type")

        created_at = d.pop("created_at")

        status = check_webhook_delivery_status(d.pop("status"))

        tries = d.pop("tries")

        def _parse_tried_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        tried_at = _parse_tried_at(d.pop("tried_at"))

        def _parse_next_try_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        next_try_at = _parse_next_try_at(d.pop("next_try_at"))

        def _parse_status_code(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        status_code = _parse_status_code(d.pop("status_code"))

        def _parse_error(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        error = _parse_error(d.pop("error"))

        def _parse_response(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        response = _parse_response(d.pop("response"))

        webhook_delivery = cls(
            id=id,
            object_=object_,
            webhook_endpoint_id=webhook_endpoint_id,
            event_id=event_id,
            event_type=event_type,
            created_at=created_at,
            status=status,
            tries=tries,
            tried_at=tried_at,
            next_try_at=next_try_at,
            status_code=status_code,
            error=error,
            response=response,
        )

        webhook_delivery.additional_properties = d
        return webhook_delivery

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
