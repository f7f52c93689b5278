from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.readiness_answer_status import (
    ReadinessAnswerStatus,
    check_readiness_answer_status,
)

if TYPE_CHECKING:
    from ..models.readiness_answer_parts import ReadinessAnswerParts


T = TypeVar("T", bound="ReadinessAnswer")


@_attrs_define
class ReadinessAnswer:
    """
    Attributes:
        status (ReadinessAnswerStatus):
        parts (ReadinessAnswerParts): `ok` or a problem for each component (database, storage, serving, scheduler); only
            `api` while the
            process is shutting down.
        unavailable_bases (int): How many base models cannot be used now: `/v1/models` names them and says why. They
            leave the server
            ready for the others.
    """

    status: ReadinessAnswerStatus
    parts: ReadinessAnswerParts
    unavailable_bases: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status: str = self.status

        parts = self.parts.to_dict()

        unavailable_bases = self.unavailable_bases

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "parts": parts,
                "unavailable_bases": unavailable_bases,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.readiness_answer_parts import ReadinessAnswerParts  # noqa: PLC0415

        d = dict(src_dict)
        status = check_readiness_answer_status(d.pop("status"))

        parts = ReadinessAnswerParts.from_dict(d.pop("parts"))

        unavailable_bases = d.pop("unavailable_bases")

        readiness_answer = cls(
            status=status,
            parts=parts,
            unavailable_bases=unavailable_bases,
        )

        readiness_answer.additional_properties = d
        return readiness_answer

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
