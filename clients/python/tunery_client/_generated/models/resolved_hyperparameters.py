from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.auto import Auto, check_auto

T = TypeVar("T", bound="ResolvedHyperparameters")


@_attrs_define
class ResolvedHyperparameters:
    """The requested hyperparameters, with every "auto" resolved once the files are validated.

    Attributes:
        batch_size (Auto | int):  Default: 'auto'.
        learning_rate_multiplier (Auto | float):  Default: 'auto'.
        n_epochs (Auto | int):  Default: 'auto'.
    """

    batch_size: Auto | int = "auto"
    learning_rate_multiplier: Auto | float = "auto"
    n_epochs: Auto | int = "auto"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        batch_size: int | str
        if isinstance(self.batch_size, str):
            batch_size = self.batch_size
        else:
            batch_size = self.batch_size

        learning_rate_multiplier: float | str
        if isinstance(self.learning_rate_multiplier, str):
            learning_rate_multiplier = self.learning_rate_multiplier
        else:
            learning_rate_multiplier = self.learning_rate_multiplier

        n_epochs: int | str
        if isinstance(self.n_epochs, str):
            n_epochs = self.n_epochs
        else:
            n_epochs = self.n_epochs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "batch_size": batch_size,
                "learning_rate_multiplier": learning_rate_multiplier,
                "n_epochs": n_epochs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_batch_size(data: object) -> Auto | int:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                batch_size_type_0 = check_auto(data)

                return batch_size_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Auto | int, data)

        batch_size = _parse_batch_size(d.pop("batch_size"))

        def _parse_learning_rate_multiplier(data: object) -> Auto | float:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                learning_rate_multiplier_type_0 = check_auto(data)

                return learning_rate_multiplier_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Auto | float, data)

        learning_rate_multiplier = _parse_learning_rate_multiplier(d.pop("learning_rate_multiplier"))

        def _parse_n_epochs(data: object) -> Auto | int:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                n_epochs_type_0 = check_auto(data)

                return n_epochs_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Auto | int, data)

        n_epochs = _parse_n_epochs(d.pop("n_epochs"))

        resolved_hyperparameters = cls(
            batch_size=batch_size,
            learning_rate_multiplier=learning_rate_multiplier,
            n_epochs=n_epochs,
        )

        resolved_hyperparameters.additional_properties = d
        return resolved_hyperparameters

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
