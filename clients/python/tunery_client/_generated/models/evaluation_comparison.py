from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="EvaluationComparison")


@_attrs_define
class EvaluationComparison:
    """Compares the model that the job started from with the tuned model, on the same examples. Losses are in
    nats per learned token (per pair for preferences, per label for classification), and accuracies are
    fractions of them. null stands for NaN and infinity.

        Attributes:
            n_examples (int):
            base_loss (float | None):
            tuned_loss (float | None):
            base_accuracy (float | None):
            tuned_accuracy (float | None):
    """

    n_examples: int
    base_loss: float | None
    tuned_loss: float | None
    base_accuracy: float | None
    tuned_accuracy: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        n_examples = self.n_examples

        base_loss: float | None
        base_loss = self.base_loss

        tuned_loss: float | None
        tuned_loss = self.tuned_loss

        base_accuracy: float | None
        base_accuracy = self.base_accuracy

        tuned_accuracy: float | None
        tuned_accuracy = self.tuned_accuracy

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "n_examples": n_examples,
                "base_loss": base_loss,
                "tuned_loss": tuned_loss,
                "base_accuracy": base_accuracy,
                "tuned_accuracy": tuned_accuracy,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        n_examples = d.pop("n_examples")

        def _parse_base_loss(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        base_loss = _parse_base_loss(d.pop("base_loss"))

        def _parse_tuned_loss(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        tuned_loss = _parse_tuned_loss(d.pop("tuned_loss"))

        def _parse_base_accuracy(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        base_accuracy = _parse_base_accuracy(d.pop("base_accuracy"))

        def _parse_tuned_accuracy(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        tuned_accuracy = _parse_tuned_accuracy(d.pop("tuned_accuracy"))

        evaluation_comparison = cls(
            n_examples=n_examples,
            base_loss=base_loss,
            tuned_loss=tuned_loss,
            base_accuracy=base_accuracy,
            tuned_accuracy=tuned_accuracy,
        )

        evaluation_comparison.additional_properties = d
        return evaluation_comparison

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
