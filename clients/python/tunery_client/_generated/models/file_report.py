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

from ..models.file_report_format_type_0 import (
    FileReportFormatType0,
    check_file_report_format_type_0,
)
from ..models.file_report_status import FileReportStatus, check_file_report_status

if TYPE_CHECKING:
    from ..models.finding import Finding
    from ..models.label_balance import LabelBalance
    from ..models.lengths import Lengths
    from ..models.overlength import Overlength
    from ..models.sampled_check import SampledCheck


T = TypeVar("T", bound="FileReport")


@_attrs_define
class FileReport:
    """Problems and statistics of a training file. The report quotes only labels and short answers from the
    file, and none that look like a secret or personal data.

        Attributes:
            object_ (Literal['file.report']):  Default: 'file.report'.
            file_id (str):
            validation_file (None | str):
            model (None | str):
            status (FileReportStatus): While the report is being created, the lists are empty and all values are null.
            rules_version (int | None):
            format_ (FileReportFormatType0 | None): Null if no line is a valid row.
            n_lines (int | None): Lines up to the last one that is not blank.
            n_examples (int | None): Lines that are valid rows.
            errors (list[Finding]): Problems that prevent training on the file.
            warnings (list[Finding]): Problems that may make the model worse. They never block a job.
            lengths (Lengths | None): Lengths in tokens of `model`, or in characters if no model is given or the model
                cannot be trained on
                such rows.
            overlength (None | Overlength): Null without `model`.
            labels (LabelBalance | None): Null if the file has neither labels nor short repeated answers.
            sampled (list[SampledCheck]): Checks that covered only a part of a large file.
    """

    file_id: str
    validation_file: None | str
    model: None | str
    status: FileReportStatus
    rules_version: int | None
    format_: FileReportFormatType0 | None
    n_lines: int | None
    n_examples: int | None
    errors: list[Finding]
    warnings: list[Finding]
    lengths: Lengths | None
    overlength: None | Overlength
    labels: LabelBalance | None
    sampled: list[SampledCheck]
    object_: Literal["file.report"] = "file.report"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.label_balance import LabelBalance  # noqa: PLC0415
        from ..models.lengths import Lengths  # noqa: PLC0415
        from ..models.overlength import Overlength  # noqa: PLC0415

        object_ = self.object_

        file_id = self.file_id

        validation_file: None | str
        validation_file = self.validation_file

        model: None | str
        model = self.model

        status: str = self.status

        rules_version: int | None
        rules_version = self.rules_version

        format_: None | str
        if isinstance(self.format_, str):
            format_ = self.format_
        else:
            format_ = self.format_

        n_lines: int | None
        n_lines = self.n_lines

        n_examples: int | None
        n_examples = self.n_examples

        errors = []
        for errors_item_data in self.errors:
            errors_item = errors_item_data.to_dict()
            errors.append(errors_item)

        warnings = []
        for warnings_item_data in self.warnings:
            warnings_item = warnings_item_data.to_dict()
            warnings.append(warnings_item)

        lengths: dict[str, Any] | None
        if isinstance(self.lengths, Lengths):
            lengths = self.lengths.to_dict()
        else:
            lengths = self.lengths

        overlength: dict[str, Any] | None
        if isinstance(self.overlength, Overlength):
            overlength = self.overlength.to_dict()
        else:
            overlength = self.overlength

        labels: dict[str, Any] | None
        if isinstance(self.labels, LabelBalance):
            labels = self.labels.to_dict()
        else:
            labels = self.labels

        sampled = []
        for sampled_item_data in self.sampled:
            sampled_item = sampled_item_data.to_dict()
            sampled.append(sampled_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "file_id": file_id,
                "validation_file": validation_file,
                "model": model,
                "status": status,
                "rules_version": rules_version,
                "format": format_,
                "n_lines": n_lines,
                "n_examples": n_examples,
                "errors": errors,
                "warnings": warnings,
                "lengths": lengths,
                "overlength": overlength,
                "labels": labels,
                "sampled": sampled,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.finding import Finding  # noqa: PLC0415
        from ..models.label_balance import LabelBalance  # noqa: PLC0415
        from ..models.lengths import Lengths  # noqa: PLC0415
        from ..models.overlength import Overlength  # noqa: PLC0415
        from ..models.sampled_check import SampledCheck  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["file.report"], d.pop("object"))
        if object_ != "file.report":
            raise ValueError(f"object must match const 'file.report', got '{object_}'")

        file_id = d.pop("file_id")

        def _parse_validation_file(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        validation_file = _parse_validation_file(d.pop("validation_file"))

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        status = check_file_report_status(d.pop("status"))

        def _parse_rules_version(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        rules_version = _parse_rules_version(d.pop("rules_version"))

        def _parse_format_(data: object) -> FileReportFormatType0 | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                format_type_0 = check_file_report_format_type_0(data)

                return format_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FileReportFormatType0 | None, data)

        format_ = _parse_format_(d.pop("format"))

        def _parse_n_lines(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        n_lines = _parse_n_lines(d.pop("n_lines"))

        def _parse_n_examples(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        n_examples = _parse_n_examples(d.pop("n_examples"))

        errors = []
        _errors = d.pop("errors")
        for errors_item_data in _errors:
            errors_item = Finding.from_dict(errors_item_data)

            errors.append(errors_item)

        warnings = []
        _warnings = d.pop("warnings")
        for warnings_item_data in _warnings:
            warnings_item = Finding.from_dict(warnings_item_data)

            warnings.append(warnings_item)

        def _parse_lengths(data: object) -> Lengths | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                lengths_type_0 = Lengths.from_dict(data)

                return lengths_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Lengths | None, data)

        lengths = _parse_lengths(d.pop("lengths"))

        def _parse_overlength(data: object) -> None | Overlength:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                overlength_type_0 = Overlength.from_dict(data)

                return overlength_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Overlength, data)

        overlength = _parse_overlength(d.pop("overlength"))

        def _parse_labels(data: object) -> LabelBalance | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                labels_type_0 = LabelBalance.from_dict(data)

                return labels_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(LabelBalance | None, data)

        labels = _parse_labels(d.pop("labels"))

        sampled = []
        _sampled = d.pop("sampled")
        for sampled_item_data in _sampled:
            sampled_item = SampledCheck.from_dict(sampled_item_data)

            sampled.append(sampled_item)

        file_report = cls(
            object_=object_,
            file_id=file_id,
            validation_file=validation_file,
            model=model,
            status=status,
            rules_version=rules_version,
            format_=format_,
            n_lines=n_lines,
            n_examples=n_examples,
            errors=errors,
            warnings=warnings,
            lengths=lengths,
            overlength=overlength,
            labels=labels,
            sampled=sampled,
        )

        file_report.additional_properties = d
        return file_report

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
