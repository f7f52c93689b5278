from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.audit_key_actor import AuditKeyActor
    from ..models.audit_session_actor import AuditSessionActor
    from ..models.audited_project import AuditedProject


T = TypeVar("T", bound="AuditLogEntry")


@_attrs_define
class AuditLogEntry:
    """A change, and who made it. A field with the name of the `type` has the `id` of the changed object, and
    what was asked for: `data` of what was created, `changes_requested` of what was changed.

        Attributes:
            id (str):
            type_ (str):
            effective_at (int): Unix seconds.
            project (AuditedProject):
            actor (AuditKeyActor | AuditSessionActor | None): None for what Tunery did by itself.
            request_id (None | str):
            ip_address (None | str): The peer of the connection: of the proxy, if there is one.
            sequence (int): 1 for the organization's first entry. A Tunery extension, as the two hashes are.
            previous_sha256 (str): `sha256` of the entry before; 64 zeros in the first one.
            sha256 (str): SHA-256 of the canonical JSON (sorted keys, no spaces, ASCII) of all other fields.
    """

    id: str
    type_: str
    effective_at: int
    project: AuditedProject
    actor: AuditKeyActor | AuditSessionActor | None
    request_id: None | str
    ip_address: None | str
    sequence: int
    previous_sha256: str
    sha256: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.audit_key_actor import AuditKeyActor  # noqa: PLC0415
        from ..models.audit_session_actor import AuditSessionActor  # noqa: PLC0415

        id = self.id

        type_ = self.type_

        effective_at = self.effective_at

        project = self.project.to_dict()

        actor: dict[str, Any] | None
        if isinstance(self.actor, AuditKeyActor):
            actor = self.actor.to_dict()
        elif isinstance(self.actor, AuditSessionActor):
            actor = self.actor.to_dict()
        else:
            actor = self.actor

        request_id: None | str
        request_id = self.request_id

        ip_address: None | str
        ip_address = self.ip_address

        sequence = self.sequence

        previous_sha256 = self.previous_sha256

        sha256 = self.sha256

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "type": type_,
                "effective_at": effective_at,
                "project": project,
                "actor": actor,
                "request_id": request_id,
                "ip_address": ip_address,
                "sequence": sequence,
                "previous_sha256": previous_sha256,
                "sha256": sha256,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.audit_key_actor import AuditKeyActor  # noqa: PLC0415
        from ..models.audit_session_actor import AuditSessionActor  # noqa: PLC0415
        from ..models.audited_project import AuditedProject  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        type_ = d.pop("type")

        effective_at = d.pop("effective_at")

        project = AuditedProject.from_dict(d.pop("project"))

        def _parse_actor(data: object) -> AuditKeyActor | AuditSessionActor | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                actor_type_0_type_0 = AuditKeyActor.from_dict(data)

                return actor_type_0_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                actor_type_0_type_1 = AuditSessionActor.from_dict(data)

                return actor_type_0_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AuditKeyActor | AuditSessionActor | None, data)

        actor = _parse_actor(d.pop("actor"))

        def _parse_request_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        request_id = _parse_request_id(d.pop("request_id"))

        def _parse_ip_address(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        ip_address = _parse_ip_address(d.pop("ip_address"))

        sequence = d.pop("sequence")

        previous_sha256 = d.pop("previous_sha256")

        sha256 = d.pop("sha256")

        audit_log_entry = cls(
            id=id,
            type_=type_,
            effective_at=effective_at,
            project=project,
            actor=actor,
            request_id=request_id,
            ip_address=ip_address,
            sequence=sequence,
            previous_sha256=previous_sha256,
            sha256=sha256,
        )

        audit_log_entry.additional_properties = d
        return audit_log_entry

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
