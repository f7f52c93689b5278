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

from ..models.input_message_role import InputMessageRole, check_input_message_role
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.input_text import InputText
    from ..models.past_text import PastText
    from ..models.refusal_part import RefusalPart


T = TypeVar("T", bound="InputMessage")


@_attrs_define
class InputMessage:
    """A message; one that a server answered with can be sent back unchanged.

    Attributes:
        role (InputMessageRole):
        content (list[InputText | PastText | RefusalPart] | str):
        type_ (Literal['message'] | Unset):  Default: 'message'.
    """

    role: InputMessageRole
    content: list[InputText | PastText | RefusalPart] | str
    type_: Literal["message"] | Unset = "message"

    def to_dict(self) -> dict[str, Any]:
        from ..models.input_text import InputText  # noqa: PLC0415
        from ..models.past_text import PastText  # noqa: PLC0415

        role: str = self.role

        content: list[dict[str, Any]] | str
        if isinstance(self.content, list):
            content = []
            for content_type_1_item_data in self.content:
                content_type_1_item: dict[str, Any]
                if isinstance(content_type_1_item_data, InputText):
                    content_type_1_item = content_type_1_item_data.to_dict()
                elif isinstance(content_type_1_item_data, PastText):
                    content_type_1_item = content_type_1_item_data.to_dict()
                else:
                    content_type_1_item = content_type_1_item_data.to_dict()

                content.append(content_type_1_item)

        else:
            content = self.content

        type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "role": role,
                "content": content,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.input_text import InputText  # noqa: PLC0415
        from ..models.past_text import PastText  # noqa: PLC0415
        from ..models.refusal_part import RefusalPart  # noqa: PLC0415

        d = dict(src_dict)
        role = check_input_message_role(d.pop("role"))

        def _parse_content(data: object) -> list[InputText | PastText | RefusalPart] | str:
            try:
                if not isinstance(data, list):
                    raise TypeError()
                content_type_1 = []
                _content_type_1 = data
                for content_type_1_item_data in _content_type_1:

                    def _parse_content_type_1_item(data: object) -> InputText | PastText | RefusalPart:
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            content_type_1_item_type_0 = InputText.from_dict(data)

                            return content_type_1_item_type_0
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            content_type_1_item_type_1 = PastText.from_dict(data)

                            return content_type_1_item_type_1
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        if not isinstance(data, dict):
                            raise TypeError()
                        content_type_1_item_type_2 = RefusalPart.from_dict(data)

                        return content_type_1_item_type_2

                    content_type_1_item = _parse_content_type_1_item(content_type_1_item_data)

                    content_type_1.append(content_type_1_item)

                return content_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[InputText | PastText | RefusalPart] | str, data)

        content = _parse_content(d.pop("content"))

        type_ = cast(Literal["message"] | Unset, d.pop("type", UNSET))
        if type_ != "message" and not isinstance(type_, Unset):
            raise ValueError(f"type must match const 'message', got '{type_}'")

        input_message = cls(
            role=role,
            content=content,
            type_=type_,
        )

        return input_message
