from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.retention_days_type_1 import (
    RetentionDaysType1,
    check_retention_days_type_1,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="RetentionBody")


@_attrs_define
class RetentionBody:
    """A field that is left out stays as it is.

    Attributes:
        files (float | None | RetentionDaysType1 | Unset): Uploaded files, since they were uploaded.
        results (float | None | RetentionDaysType1 | Unset): Files that jobs have made, such as results, since they were
            made.
        events (float | None | RetentionDaysType1 | Unset): Events of jobs, since the job ended.
        usage (float | None | RetentionDaysType1 | Unset): Usage of models, by the day (UTC).
        checkpoints (float | None | RetentionDaysType1 | Unset): Checkpoints of jobs, since the job ended. Published
            models stay.
        resume_states (float | None | RetentionDaysType1 | Unset): Optimizer state of checkpoints, since the job ended.
        data_reports (float | None | RetentionDaysType1 | Unset): Data reports, since they were made.
        exports (float | None | RetentionDaysType1 | Unset): Exports of models, since they were made or asked for again.
    """

    files: float | None | RetentionDaysType1 | Unset = UNSET
    results: float | None | RetentionDaysType1 | Unset = UNSET
    events: float | None | RetentionDaysType1 | Unset = UNSET
    usage: float | None | RetentionDaysType1 | Unset = UNSET
    checkpoints: float | None | RetentionDaysType1 | Unset = UNSET
    resume_states: float | None | RetentionDaysType1 | Unset = UNSET
    data_reports: float | None | RetentionDaysType1 | Unset = UNSET
    exports: float | None | RetentionDaysType1 | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        files: float | None | str | Unset
        if isinstance(self.files, Unset):
            files = UNSET
        elif isinstance(self.files, str):
            files = self.files
        else:
            files = self.files

        results: float | None | str | Unset
        if isinstance(self.results, Unset):
            results = UNSET
        elif isinstance(self.results, str):
            results = self.results
        else:
            results = self.results

        events: float | None | str | Unset
        if isinstance(self.events, Unset):
            events = UNSET
        elif isinstance(self.events, str):
            events = self.events
        else:
            events = self.events

        usage: float | None | str | Unset
        if isinstance(self.usage, Unset):
            usage = UNSET
        elif isinstance(self.usage, str):
            usage = self.usage
        else:
            usage = self.usage

        checkpoints: float | None | str | Unset
        if isinstance(self.checkpoints, Unset):
            checkpoints = UNSET
        elif isinstance(self.checkpoints, str):
            checkpoints = self.checkpoints
        else:
            checkpoints = self.checkpoints

        resume_states: float | None | str | Unset
        if isinstance(self.resume_states, Unset):
            resume_states = UNSET
        elif isinstance(self.resume_states, str):
            resume_states = self.resume_states
        else:
            resume_states = self.resume_states

        data_reports: float | None | str | Unset
        if isinstance(self.data_reports, Unset):
            data_reports = UNSET
        elif isinstance(self.data_reports, str):
            data_reports = self.data_reports
        else:
            data_reports = self.data_reports

        exports: float | None | str | Unset
        if isinstance(self.exports, Unset):
            exports = UNSET
        elif isinstance(self.exports, str):
            exports = self.exports
        else:
            exports = self.exports

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if files is not UNSET:
            field_dict["files"] = files
        if results is not UNSET:
            field_dict["results"] = results
        if events is not UNSET:
            field_dict["events"] = events
        if usage is not UNSET:
            field_dict["usage"] = usage
        if checkpoints is not UNSET:
            field_dict["checkpoints"] = checkpoints
        if resume_states is not UNSET:
            field_dict["resume_states"] = resume_states
        if data_reports is not UNSET:
            field_dict["data_reports"] = data_reports
        if exports is not UNSET:
            field_dict["exports"] = exports

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_files(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        files = _parse_files(d.pop("files", UNSET))

        def _parse_results(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        results = _parse_results(d.pop("results", UNSET))

        def _parse_events(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        events = _parse_events(d.pop("events", UNSET))

        def _parse_usage(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        usage = _parse_usage(d.pop("usage", UNSET))

        def _parse_checkpoints(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        checkpoints = _parse_checkpoints(d.pop("checkpoints", UNSET))

        def _parse_resume_states(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        resume_states = _parse_resume_states(d.pop("resume_states", UNSET))

        def _parse_data_reports(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        data_reports = _parse_data_reports(d.pop("data_reports", UNSET))

        def _parse_exports(data: object) -> float | None | RetentionDaysType1 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_retention_days_type_1 = check_retention_days_type_1(data)

                return componentsschemas_retention_days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | None | RetentionDaysType1 | Unset, data)

        exports = _parse_exports(d.pop("exports", UNSET))

        retention_body = cls(
            files=files,
            results=results,
            events=events,
            usage=usage,
            checkpoints=checkpoints,
            resume_states=resume_states,
            data_reports=data_reports,
            exports=exports,
        )

        return retention_body
