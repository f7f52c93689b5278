from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.dpo_hyperparameters_body import DpoHyperparametersBody


T = TypeVar("T", bound="DpoBody")


@_attrs_define
class DpoBody:
    """
    Attributes:
        hyperparameters (DpoHyperparametersBody | None | Unset):
    """

    hyperparameters: DpoHyperparametersBody | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.dpo_hyperparameters_body import DpoHyperparametersBody  # noqa: PLC0415

        hyperparameters: dict[str, Any] | None | Unset
        if isinstance(self.hyperparameters, Unset):
            hyperparameters = UNSET
        elif isinstance(self.hyperparameters, DpoHyperparametersBody):
            hyperparameters = self.hyperparameters.to_dict()
        else:
            hyperparameters = self.hyperparameters

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if hyperparameters is not UNSET:
            field_dict["hyperparameters"] = hyperparameters

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.dpo_hyperparameters_body import DpoHyperparametersBody  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_hyperparameters(data: object) -> DpoHyperparametersBody | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                hyperparameters_type_0 = DpoHyperparametersBody.from_dict(data)

                return hyperparameters_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(DpoHyperparametersBody | None | Unset, data)

        hyperparameters = _parse_hyperparameters(d.pop("hyperparameters", UNSET))

        dpo_body = cls(
            hyperparameters=hyperparameters,
        )

        return dpo_body
