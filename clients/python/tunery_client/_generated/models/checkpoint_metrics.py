from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="CheckpointMetrics")


@_attrs_define
class CheckpointMetrics:
    """
    Attributes:
        step (float | None):
        train_loss (float | None):
        train_mean_token_accuracy (float | None):
        valid_loss (float | None):
        valid_mean_token_accuracy (float | None):
        full_valid_loss (float | None):
        full_valid_mean_token_accuracy (float | None):
        full_valid_f1 (float | None): Classification: mean F1 score over the labels.
        reward_margin (float | None): DPO: mean reward of the preferred answers minus that of the non-preferred ones.
    """

    step: float | None
    train_loss: float | None
    train_mean_token_accuracy: float | None
    valid_loss: float | None
    valid_mean_token_accuracy: float | None
    full_valid_loss: float | None
    full_valid_mean_token_accuracy: float | None
    full_valid_f1: float | None
    reward_margin: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        step: float | None
        step = self.step

        train_loss: float | None
        train_loss = self.train_loss

        train_mean_token_accuracy: float | None
        train_mean_token_accuracy = self.train_mean_token_accuracy

        valid_loss: float | None
        valid_loss = self.valid_loss

        valid_mean_token_accuracy: float | None
        valid_mean_token_accuracy = self.valid_mean_token_accuracy

        full_valid_loss: float | None
        full_valid_loss = self.full_valid_loss

        full_valid_mean_token_accuracy: float | None
        full_valid_mean_token_accuracy = self.full_valid_mean_token_accuracy

        full_valid_f1: float | None
        full_valid_f1 = self.full_valid_f1

        reward_margin: float | None
        reward_margin = self.reward_margin

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "step": step,
                "train_loss": train_loss,
                "train_mean_token_accuracy": train_mean_token_accuracy,
                "valid_loss": valid_loss,
                "valid_mean_token_accuracy": valid_mean_token_accuracy,
                "full_valid_loss": full_valid_loss,
                "full_valid_mean_token_accuracy": full_valid_mean_token_accuracy,
                "full_valid_f1": full_valid_f1,
                "reward_margin": reward_margin,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_step(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        step = _parse_step(d.pop("step"))

        def _parse_train_loss(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        train_loss = _parse_train_loss(d.pop("train_loss"))

        def _parse_train_mean_token_accuracy(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        train_mean_token_accuracy = _parse_train_mean_token_accuracy(d.pop("train_mean_token_accuracy"))

        def _parse_valid_loss(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        valid_loss = _parse_valid_loss(d.pop("valid_loss"))

        def _parse_valid_mean_token_accuracy(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        valid_mean_token_accuracy = _parse_valid_mean_token_accuracy(d.pop("valid_mean_token_accuracy"))

        def _parse_full_valid_loss(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        full_valid_loss = _parse_full_valid_loss(d.pop("full_valid_loss"))

        def _parse_full_valid_mean_token_accuracy(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        full_valid_mean_token_accuracy = _parse_full_valid_mean_token_accuracy(
            d.pop("full_valid_mean_token_accuracy")
        )

        def _parse_full_valid_f1(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        full_valid_f1 = _parse_full_valid_f1(d.pop("full_valid_f1"))

        def _parse_reward_margin(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        reward_margin = _parse_reward_margin(d.pop("reward_margin"))

        checkpoint_metrics = cls(
            step=step,
            train_loss=train_loss,
            train_mean_token_accuracy=train_mean_token_accuracy,
            valid_loss=valid_loss,
            valid_mean_token_accuracy=valid_mean_token_accuracy,
            full_valid_loss=full_valid_loss,
            full_valid_mean_token_accuracy=full_valid_mean_token_accuracy,
            full_valid_f1=full_valid_f1,
            reward_margin=reward_margin,
        )

        checkpoint_metrics.additional_properties = d
        return checkpoint_metrics

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
