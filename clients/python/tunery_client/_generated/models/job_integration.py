from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.job_integration_type import JobIntegrationType, check_job_integration_type

T = TypeVar("T", bound="JobIntegration")


@_attrs_define
class JobIntegration:
    """
    Attributes:
        type_ (JobIntegrationType):
        url (None | str): Page of the run in the tracker, once it has begun.
        problem (None | str): Why the tracker receives no more data. The job continues without it.
        file (None | str): Id of the file with the events of a `tensorboard` integration, once the job has succeeded.
    """

    type_: JobIntegrationType
    url: None | str
    problem: None | str
    file: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_: str = self.type_

        url: None | str
        url = self.url

        problem: None | str
        problem = self.problem

        file: None | str
        file = self.file

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "url": url,
                "problem": problem,
                "file": file,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = check_job_integration_type(d.pop("type"))

        def _parse_url(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        url = _parse_url(d.pop("url"))

        def _parse_problem(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        problem = _parse_problem(d.pop("problem"))

        def _parse_file(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        file = _parse_file(d.pop("file"))

        job_integration = cls(
            type_=type_,
            url=url,
            problem=problem,
            file=file,
        )

        job_integration.additional_properties = d
        return job_integration

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
