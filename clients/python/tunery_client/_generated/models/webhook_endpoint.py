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
    from ..models.webhook_endpoint_extension import WebhookEndpointExtension


T = TypeVar("T", bound="WebhookEndpoint")


@_attrs_define
class WebhookEndpoint:
    """
    Attributes:
        id (str):
        object_ (Literal['webhook_endpoint']):  Default: 'webhook_endpoint'.
        created_at (int):
        updated_at (int): When its configuration or its secret last changed.
        name (str):
        url (str):
        event_types (list[str]):
        signing_secret_hint (str): The end of the signing secret.
        tunery (WebhookEndpointExtension): What Tunery adds.
    """

    id: str
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str
    tunery: WebhookEndpointExtension
    object_: Literal["webhook_endpoint"] = "webhook_endpoint"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        created_at = self.created_at

        updated_at = self.updated_at

        name = self.name

        url = self.url

        event_types = self.event_types

        signing_secret_hint = self.signing_secret_hint

        tunery = self.tunery.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "created_at": created_at,
                "updated_at": updated_at,
                "name": name,
                "url": url,
                "event_types": event_types,
                "signing_secret_hint": signing_secret_hint,
                "tunery": tunery,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.webhook_endpoint_extension import WebhookEndpointExtension  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["webhook_endpoint"], d.pop("object"))
        if object_ != "webhook_endpoint":
            raise ValueError(f"object must match const 'webhook_endpoint', got '{object_}'")

        created_at = d.pop("created_at")

        updated_at = d.pop("updated_at")

        name = d.pop("name")

        url = d.pop("url")

        event_types = cast(list[str], d.pop("event_types"))

        signing_secret_hint = d.pop("signing_secret_hint")

        tunery = WebhookEndpointExtension.from_dict(d.pop("tunery"))

        webhook_endpoint = cls(
            id=id,
            object_=object_,
            created_at=created_at,
            updated_at=updated_at,
            name=name,
            url=url,
            event_types=event_types,
            signing_secret_hint=signing_secret_hint,
            tunery=tunery,
        )

        webhook_endpoint.additional_properties = d
        return webhook_endpoint

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
