from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.evaluation_comparison import EvaluationComparison


T = TypeVar("T", bound="Evaluation")


@_attrs_define
class Evaluation:
    """
    Attributes:
        held_out (EvaluationComparison | None): Comparison on the validation file or the split. Null if the job has
            neither.
        trained_loss (float | None): The tuned model's loss on the held-out examples, as measured in training.
            `held_out.tuned_loss` is
            measured on the model as it is served. The two differ after QLoRA, which trains on the base in 4 bits, if
            the model is served on the base in full precision.
        general (EvaluationComparison | None): Comparison on a general set, which covers what the job did not train for.
            Null if there is none for the
            base.
        general_kl (float | None): How far the model has drifted on the general set: the mean KL(base || tuned) of the
            next token, in
            nats.
        regression (float | None): How much the model has forgotten: the increase of the loss on the general set, in
            nats. Negative if the
            loss decreased.
    """

    held_out: EvaluationComparison | None
    trained_loss: float | None
    general: EvaluationComparison | None
    general_kl: float | None
    regression: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.evaluation_comparison import EvaluationComparison  # noqa: PLC0415

        held_out: dict[str, Any] | None
        if isinstance(self.held_out, EvaluationComparison):
            held_out = self.held_out.to_dict()
        else:
            held_out = self.held_out

        trained_loss: float | None
        trained_loss = self.trained_loss

        general: dict[str, Any] | None
        if isinstance(self.general, EvaluationComparison):
            general = self.general.to_dict()
        else:
            general = self.general

        general_kl: float | None
        general_kl = self.general_kl

        regression: float | None
        regression = self.regression

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "held_out": held_out,
                "trained_loss": trained_loss,
                "general": general,
                "general_kl": general_kl,
                "regression": regression,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation_comparison import EvaluationComparison  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_held_out(data: object) -> EvaluationComparison | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                held_out_type_0 = EvaluationComparison.from_dict(data)

                return held_out_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EvaluationComparison | None, data)

        held_out = _parse_held_out(d.pop("held_out"))

        def _parse_trained_loss(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        trained_loss = _parse_trained_loss(d.pop("trained_loss"))

        def _parse_general(data: object) -> EvaluationComparison | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                general_type_0 = EvaluationComparison.from_dict(data)

                return general_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EvaluationComparison | None, data)

        general = _parse_general(d.pop("general"))

        def _parse_general_kl(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        general_kl = _parse_general_kl(d.pop("general_kl"))

        def _parse_regression(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        regression = _parse_regression(d.pop("regression"))

        evaluation = cls(
            held_out=held_out,
            trained_loss=trained_loss,
            general=general,
            general_kl=general_kl,
            regression=regression,
        )

        evaluation.additional_properties = d
        return evaluation

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
