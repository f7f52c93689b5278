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

from ..models.response_content_part_event_type import (
    ResponseContentPartEventType,
    check_response_content_part_event_type,
)

if TYPE_CHECKING:
    from ..models.output_text import OutputText


T = TypeVar("T", bound="ResponseContentPartEvent")


@_attrs_define
class ResponseContentPartEvent:
    """
    Attributes:
        type_ (ResponseContentPartEventType):
        sequence_number (int): Counts the events of the stream from 0.
        item_id (str):
        output_index (int):
        content_index (Literal[0]):  Default: 0.
        part (OutputText):
    """

    type_: ResponseContentPartEventType
    sequence_number: int
    item_id: str
    output_index: int
    part: OutputText
    content_index: Literal[0] = 0
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_: str = self.type_

        sequence_number = self.sequence_number

        item_id = self.item_id

        output_index = self.output_index

        content_index = self.content_index

        part = self.part.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "sequence_number": sequence_number,
                "item_id": item_id,
                "output_index": output_index,
                "content_index": content_index,
                "part": part,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.output_text import OutputText  # noqa: PLC0415

        d = dict(src_dict)
        type_ = check_response_content_part_event_type(d.pop("type"))

        sequence_number = d.pop("sequence_number")

        item_id = d.pop("item_id")

        output_index = d.pop("output_index")

        content_index = cast(Literal[0], d.pop("content_index"))
        if content_index != 0:
            raise ValueError(f"content_index must match const 0, got '{content_index}'")

        part = OutputText.from_dict(d.pop("part"))

        response_content_part_event = cls(
            type_=type_,
            sequence_number=sequence_number,
            item_id=item_id,
            output_index=output_index,
            content_index=content_index,
            part=part,
        )

        response_content_part_event.additional_properties = d
        return response_content_part_event

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
