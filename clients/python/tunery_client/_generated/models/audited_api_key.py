from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.audited_api_key_type import AuditedApiKeyType, check_audited_api_key_type

if TYPE_CHECKING:
    from ..models.audited_service_account import AuditedServiceAccount


T = TypeVar("T", bound="AuditedApiKey")


@_attrs_define
class AuditedApiKey:
    """
    Attributes:
        id (str):
        type_ (AuditedApiKeyType):
        service_account (AuditedServiceAccount | None): None for a key of the project itself, and for an admin key.
    """

    id: str
    type_: AuditedApiKeyType
    service_account: AuditedServiceAccount | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.audited_service_account import AuditedServiceAccount  # noqa: PLC0415

        id = self.id

        type_: str = self.type_

        service_account: dict[str, Any] | None
        if isinstance(self.service_account, AuditedServiceAccount):
            service_account = self.service_account.to_dict()
        else:
            service_account = self.service_account

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "type": type_,
                "service_account": service_account,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.audited_service_account import AuditedServiceAccount  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        type_ = check_audited_api_key_type(d.pop("type"))

        def _parse_service_account(data: object) -> AuditedServiceAccount | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                service_account_type_0 = AuditedServiceAccount.from_dict(data)

                return service_account_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AuditedServiceAccount | None, data)

        service_account = _parse_service_account(d.pop("service_account"))

        audited_api_key = cls(
            id=id,
            type_=type_,
            service_account=service_account,
        )

        audited_api_key.additional_properties = d
        return audited_api_key

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
