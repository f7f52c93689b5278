from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.grader_extension import GraderExtension
    from ..models.grader_metadata import GraderMetadata
    from ..models.grader_run_sub_rewards import GraderRunSubRewards
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="GraderRun")


@_attrs_define
class GraderRun:
    """
    Attributes:
        reward (float):
        sub_rewards (GraderRunSubRewards): Rewards of the graders in a multi grader, by their names in the formula.
        metadata (GraderMetadata):
        model_grader_token_usage_per_model (JsonObject):
        tunery (GraderExtension): What Tunery adds.
    """

    reward: float
    sub_rewards: GraderRunSubRewards
    metadata: GraderMetadata
    model_grader_token_usage_per_model: JsonObject
    tunery: GraderExtension
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        reward = self.reward

        sub_rewards = self.sub_rewards.to_dict()

        metadata = self.metadata.to_dict()

        model_grader_token_usage_per_model = self.model_grader_token_usage_per_model.to_dict()

        tunery = self.tunery.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "reward": reward,
                "sub_rewards": sub_rewards,
                "metadata": metadata,
                "model_grader_token_usage_per_model": model_grader_token_usage_per_model,
                "tunery": tunery,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.grader_extension import GraderExtension  # noqa: PLC0415
        from ..models.grader_metadata import GraderMetadata  # noqa: PLC0415
        from ..models.grader_run_sub_rewards import GraderRunSubRewards  # noqa: PLC0415
        from ..models.json_object import JsonObject  # noqa: PLC0415

        d = dict(src_dict)
        reward = d.pop("reward")

        sub_rewards = GraderRunSubRewards.from_dict(d.pop("sub_rewards"))

        metadata = GraderMetadata.from_dict(d.pop("metadata"))

        model_grader_token_usage_per_model = JsonObject.from_dict(d.pop("model_grader_token_usage_per_model"))

        tunery = GraderExtension.from_dict(d.pop("tunery"))

        grader_run = cls(
            reward=reward,
            sub_rewards=sub_rewards,
            metadata=metadata,
            model_grader_token_usage_per_model=model_grader_token_usage_per_model,
            tunery=tunery,
        )

        grader_run.additional_properties = d
        return grader_run

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
