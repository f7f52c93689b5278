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

from ..models.created_project_api_key_owner_project_access import (
    CreatedProjectApiKeyOwnerProjectAccess,
    check_created_project_api_key_owner_project_access,
)

if TYPE_CHECKING:
    from ..models.api_key_extension import ApiKeyExtension
    from ..models.project_api_key_owner import ProjectApiKeyOwner


T = TypeVar("T", bound="CreatedProjectApiKey")


@_attrs_define
class CreatedProjectApiKey:
    """
    Attributes:
        id (str):
        object_ (Literal['organization.project.api_key']):  Default: 'organization.project.api_key'.
        name (str):
        redacted_value (str):
        created_at (int):
        expires_at (int | None):
        last_used_at (int | None): Accurate to about a minute.
        owner (ProjectApiKeyOwner):
        owner_project_access (CreatedProjectApiKeyOwnerProjectAccess): `inactive` if the project is archived.
        tunery (ApiKeyExtension): Tunery's additions to OpenAI's key objects.
        value (str): The key, which is shown only once.
    """

    id: str
    name: str
    redacted_value: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    owner: ProjectApiKeyOwner
    owner_project_access: CreatedProjectApiKeyOwnerProjectAccess
    tunery: ApiKeyExtension
    value: str
    object_: Literal["organization.project.api_key"] = "organization.project.api_key"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        name = self.name

        redacted_value = self.redacted_value

        created_at = self.created_at

        expires_at: int | None
        expires_at = self.expires_at

        last_used_at: int | None
        last_used_at = self.last_used_at

        owner = self.owner.to_dict()

        owner_project_access: str = self.owner_project_access

        tunery = self.tunery.to_dict()

        value = self.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "name": name,
                "redacted_value": redacted_value,
                "created_at": created_at,
                "expires_at": expires_at,
                "last_used_at": last_used_at,
                "owner": owner,
                "owner_project_access": owner_project_access,
                "tunery": tunery,
                "value": value,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.api_key_extension import ApiKeyExtension  # noqa: PLC0415
        from ..models.project_api_key_owner import ProjectApiKeyOwner  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["organization.project.api_key"], d.pop("object"))
        if object_ != "organization.project.api_key":
            raise ValueError(f"object must match const 'organization.project.api_key', got '{object_}'")

        name = d.pop("name")

        redacted_value = d.pop("redacted_value")

        created_at = d.pop("created_at")

        def _parse_expires_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        expires_at = _parse_expires_at(d.pop("expires_at"))

        def _parse_last_used_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        last_used_at = _parse_last_used_at(d.pop("last_used_at"))

        owner = ProjectApiKeyOwner.from_dict(d.pop("owner"))

        owner_project_access = check_created_project_api_key_owner_project_access(
            d.pop("owner_project_access")
        )

        tunery = ApiKeyExtension.from_dict(d.pop("tunery"))

        value = d.pop("value")

        created_project_api_key = cls(
            id=id,
            object_=object_,
            name=name,
            redacted_value=redacted_value,
            created_at=created_at,
            expires_at=expires_at,
            last_used_at=last_used_at,
            owner=owner,
            owner_project_access=owner_project_access,
            tunery=tunery,
            value=value,
        )

        created_project_api_key.additional_properties = d
        return created_project_api_key

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
