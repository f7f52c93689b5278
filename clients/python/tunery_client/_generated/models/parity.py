from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.differences import Differences


T = TypeVar("T", bound="Parity")


@_attrs_define
class Parity:
    """How closely serving reproduced the tuned model when it was published.

    Attributes:
        max_abs (float):
        mean_abs (float):
        p99_abs (float | None): 99th percentile of the absolute difference.
        same_top (float | None): Fraction of positions where both consider the same token most likely.
        noise (Differences | None): The same differences for the base alone, which show how much is due to rounding.
        effect (float | None): Fraction of the effect of training that the served model shows; 1 means all of it. Null
            if the effect
            is too small compared with the noise.
    """

    max_abs: float
    mean_abs: float
    p99_abs: float | None
    same_top: float | None
    noise: Differences | None
    effect: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.differences import Differences  # noqa: PLC0415

        max_abs = self.max_abs

        mean_abs = self.mean_abs

        p99_abs: float | None
        p99_abs = self.p99_abs

        same_top: float | None
        same_top = self.same_top

        noise: dict[str, Any] | None
        if isinstance(self.noise, Differences):
            noise = self.noise.to_dict()
        else:
            noise = self.noise

        effect: float | None
        effect = self.effect

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "max_abs": max_abs,
                "mean_abs": mean_abs,
                "p99_abs": p99_abs,
                "same_top": same_top,
                "noise": noise,
                "effect": effect,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.differences import Differences  # noqa: PLC0415

        d = dict(src_dict)
        max_abs = d.pop("max_abs")

        mean_abs = d.pop("mean_abs")

        def _parse_p99_abs(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        p99_abs = _parse_p99_abs(d.pop("p99_abs"))

        def _parse_same_top(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        same_top = _parse_same_top(d.pop("same_top"))

        def _parse_noise(data: object) -> Differences | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                noise_type_0 = Differences.from_dict(data)

                return noise_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Differences | None, data)

        noise = _parse_noise(d.pop("noise"))

        def _parse_effect(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        effect = _parse_effect(d.pop("effect"))

        parity = cls(
            max_abs=max_abs,
            mean_abs=mean_abs,
            p99_abs=p99_abs,
            same_top=same_top,
            noise=noise,
            effect=effect,
        )

        parity.additional_properties = d
        return parity

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
