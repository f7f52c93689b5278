from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="FineTuningUsage")


@_attrs_define
class FineTuningUsage:
    """
    Attributes:
        project_id (None | str):
        user_id (None | str): Always null: keys belong to projects, not to users.
        api_key_id (None | str):
        model (None | str):
        object_ (Literal['organization.usage.fine_tuning.result']):  Default: 'organization.usage.fine_tuning.result'.
        num_jobs (int): Jobs that ended in this time.
        trained_tokens (int): Tokens trained by the jobs that ended in this time.
        device_seconds (float): Duration of attempts in this time, times their training processes.
    """

    project_id: None | str
    user_id: None | str
    api_key_id: None | str
    model: None | str
    num_jobs: int
    trained_tokens: int
    device_seconds: float
    object_: Literal["organization.usage.fine_tuning.result"] = "organization.usage.fine_tuning.result"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        project_id: None | str
        project_id = self.project_id

        user_id: None | str
        user_id = self.user_id

        api_key_id: None | str
        api_key_id = self.api_key_id

        model: None | str
        model = self.model

        object_ = self.object_

        num_jobs = self.num_jobs

        trained_tokens = self.trained_tokens

        device_seconds = self.device_seconds

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "project_id": project_id,
                "user_id": user_id,
                "api_key_id": api_key_id,
                "model": model,
                "object": object_,
                "num_jobs": num_jobs,
                "trained_tokens": trained_tokens,
                "device_seconds": device_seconds,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_project_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        project_id = _parse_project_id(d.pop("project_id"))

        def _parse_user_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        user_id = _parse_user_id(d.pop("user_id"))

        def _parse_api_key_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        api_key_id = _parse_api_key_id(d.pop("api_key_id"))

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        object_ = cast(Literal["organization.usage.fine_tuning.result"], d.pop("object"))
        if object_ != "organization.usage.fine_tuning.result":
            raise ValueError(
                f"object must match const 'organization.usage.fine_tuning.result', got '{object_}'"
            )

        num_jobs = d.pop("num_jobs")

        trained_tokens = d.pop("trained_tokens")

        device_seconds = d.pop("device_seconds")

        fine_tuning_usage = cls(
            project_id=project_id,
            user_id=user_id,
            api_key_id=api_key_id,
            model=model,
            object_=object_,
            num_jobs=num_jobs,
            trained_tokens=trained_tokens,
            device_seconds=device_seconds,
        )

        fine_tuning_usage.additional_properties = d
        return fine_tuning_usage

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
