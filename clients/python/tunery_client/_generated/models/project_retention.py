from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.retention_term import RetentionTerm


T = TypeVar("T", bound="ProjectRetention")


@_attrs_define
class ProjectRetention:
    """What applies to the project.

    Attributes:
        files (RetentionTerm):
        results (RetentionTerm):
        events (RetentionTerm):
        usage (RetentionTerm):
        checkpoints (RetentionTerm):
        resume_states (RetentionTerm):
        data_reports (RetentionTerm):
        exports (RetentionTerm):
        object_ (Literal['project.retention']):  Default: 'project.retention'.
        id (str): The project's.
    """

    files: RetentionTerm
    results: RetentionTerm
    events: RetentionTerm
    usage: RetentionTerm
    checkpoints: RetentionTerm
    resume_states: RetentionTerm
    data_reports: RetentionTerm
    exports: RetentionTerm
    id: str
    object_: Literal["project.retention"] = "project.retention"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        files = self.files.to_dict()

        results = self.results.to_dict()

        events = self.events.to_dict()

        usage = self.usage.to_dict()

        checkpoints = self.checkpoints.to_dict()

        resume_states = self.resume_states.to_dict()

        data_reports = self.data_reports.to_dict()

        exports = self.exports.to_dict()

        object_ = self.object_

        id = self.id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "files": files,
                "results": results,
                "events": events,
                "usage": usage,
                "checkpoints": checkpoints,
                "resume_states": resume_states,
                "data_reports": data_reports,
                "exports": exports,
                "object": object_,
                "id": id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.retention_term import RetentionTerm  # noqa: PLC0415

        d = dict(src_dict)
        files = RetentionTerm.from_dict(d.pop("files"))

        results = RetentionTerm.from_dict(d.pop("results"))

        events = RetentionTerm.from_dict(d.pop("events"))

        usage = RetentionTerm.from_dict(d.pop("usage"))

        checkpoints = RetentionTerm.from_dict(d.pop("checkpoints"))

        resume_states = RetentionTerm.from_dict(d.pop("resume_states"))

        data_reports = RetentionTerm.from_dict(d.pop("data_reports"))

        exports = RetentionTerm.from_dict(d.pop("exports"))

        object_ = cast(Literal["project.retention"], d.pop("object"))
        if object_ != "project.retention":
            raise ValueError(f"object must match const 'project.retention', got '{object_}'")

        id = d.pop("id")

        project_retention = cls(
            files=files,
            results=results,
            events=events,
            usage=usage,
            checkpoints=checkpoints,
            resume_states=resume_states,
            data_reports=data_reports,
            exports=exports,
            object_=object_,
            id=id,
        )

        project_retention.additional_properties = d
        return project_retention

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
