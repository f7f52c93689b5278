from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.resolved_hyperparameters import ResolvedHyperparameters


T = TypeVar("T", bound="Supervised")


@_attrs_define
class Supervised:
    """
    Attributes:
        hyperparameters (ResolvedHyperparameters): The requested hyperparameters, with every "auto" resolved once the
            files are validated.
    """

    hyperparameters: ResolvedHyperparameters
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        hyperparameters = self.hyperparameters.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "hyperparameters": hyperparameters,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.resolved_hyperparameters import ResolvedHyperparameters  # noqa: PLC0415

        d = dict(src_dict)
        hyperparameters = ResolvedHyperparameters.from_dict(d.pop("hyperparameters"))

        supervised = cls(
            hyperparameters=hyperparameters,
        )

        supervised.additional_properties = d
        return supervised

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
