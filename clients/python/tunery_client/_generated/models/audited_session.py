from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.audited_user import AuditedUser


T = TypeVar("T", bound="AuditedSession")


@_attrs_define
class AuditedSession:
    """
    Attributes:
        user (AuditedUser):
        ip_address (None | str):
        issuer (str): The identity provider. A Tunery extension, as `subject` is.
        subject (str): Whom its token names.
    """

    user: AuditedUser
    ip_address: None | str
    issuer: str
    subject: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        user = self.user.to_dict()

        ip_address: None | str
        ip_address = self.ip_address

        issuer = self.issuer

        subject = self.subject

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "user": user,
                "ip_address": ip_address,
                "issuer": issuer,
                "subject": subject,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.audited_user import AuditedUser  # noqa: PLC0415

        d = dict(src_dict)
        user = AuditedUser.from_dict(d.pop("user"))

        def _parse_ip_address(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        ip_address = _parse_ip_address(d.pop("ip_address"))

        issuer = d.pop("issuer")

        subject = d.pop("subject")

        audited_session = cls(
            user=user,
            ip_address=ip_address,
            issuer=issuer,
            subject=subject,
        )

        audited_session.additional_properties = d
        return audited_session

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
