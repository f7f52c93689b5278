from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.response_output_item_event_type import (
    ResponseOutputItemEventType,
    check_response_output_item_event_type,
)

if TYPE_CHECKING:
    from ..models.output_call import OutputCall
    from ..models.output_message import OutputMessage


T = TypeVar("T", bound="ResponseOutputItemEvent")


@_attrs_define
class ResponseOutputItemEvent:
    """
    Attributes:
        type_ (ResponseOutputItemEventType):
        sequence_number (int): Counts the events of the stream from 0.
        output_index (int):
        item (OutputCall | OutputMessage):
    """

    type_: ResponseOutputItemEventType
    sequence_number: int
    output_index: int
    item: OutputCall | OutputMessage
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.output_message import OutputMessage  # noqa: PLC0415

        type_: str = self.type_

        sequence_number = self.sequence_number

        output_index = self.output_index

        item: dict[str, Any]
        if isinstance(self.item, OutputMessage):
            item = self.item.to_dict()
        else:
            item = self.item.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "sequence_number": sequence_number,
                "output_index": output_index,
                "item": item,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.output_call import OutputCall  # noqa: PLC0415
        from ..models.output_message import OutputMessage  # noqa: PLC0415

        d = dict(src_dict)
        type_ = check_response_output_item_event_type(d.pop("type"))

        sequence_number = d.pop("sequence_number")

        output_index = d.pop("output_index")

        def _parse_item(data: object) -> OutputCall | OutputMessage:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                item_type_0 = OutputMessage.from_dict(data)

                return item_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            item_type_1 = OutputCall.from_dict(data)

            return item_type_1

        item = _parse_item(d.pop("item"))

        response_output_item_event = cls(
            type_=type_,
            sequence_number=sequence_number,
            output_index=output_index,
            item=item,
        )

        response_output_item_event.additional_properties = d
        return response_output_item_event

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
