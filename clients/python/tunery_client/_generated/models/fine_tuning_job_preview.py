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

from ..models.fine_tuning_job_preview_format import (
    FineTuningJobPreviewFormat,
    check_fine_tuning_job_preview_format,
)

if TYPE_CHECKING:
    from ..models.previewed_row import PreviewedRow


T = TypeVar("T", bound="FineTuningJobPreview")


@_attrs_define
class FineTuningJobPreview:
    """
    Attributes:
        object_ (Literal['fine_tuning.job.preview']):  Default: 'fine_tuning.job.preview'.
        format_ (FineTuningJobPreviewFormat):
        max_length (int): Maximum number of tokens in a sequence: the base's context length.
        data (list[PreviewedRow]): The rows, in the order of the file.
        has_more (bool): Whether requested rows are left out because the response would become too large. Request them
            with
            `lines`.
    """

    format_: FineTuningJobPreviewFormat
    max_length: int
    data: list[PreviewedRow]
    has_more: bool
    object_: Literal["fine_tuning.job.preview"] = "fine_tuning.job.preview"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        format_: str = self.format_

        max_length = self.max_length

        data = []
        for data_item_data in self.data:
            data_item = data_item_data.to_dict()
            data.append(data_item)

        has_more = self.has_more

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "format": format_,
                "max_length": max_length,
                "data": data,
                "has_more": has_more,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.previewed_row import PreviewedRow  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["fine_tuning.job.preview"], d.pop("object"))
        if object_ != "fine_tuning.job.preview":
            raise ValueError(f"object must match const 'fine_tuning.job.preview', got '{object_}'")

        format_ = check_fine_tuning_job_preview_format(d.pop("format"))

        max_length = d.pop("max_length")

        data = []
        _data = d.pop("data")
        for data_item_data in _data:
            data_item = PreviewedRow.from_dict(data_item_data)

            data.append(data_item)

        has_more = d.pop("has_more")

        fine_tuning_job_preview = cls(
            object_=object_,
            format_=format_,
            max_length=max_length,
            data=data,
            has_more=has_more,
        )

        fine_tuning_job_preview.additional_properties = d
        return fine_tuning_job_preview

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
