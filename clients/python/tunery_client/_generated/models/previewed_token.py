from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="PreviewedToken")


@_attrs_define
class PreviewedToken:
    """
    Attributes:
        id (int):
        token (str): Text of the token. Bytes that are not whole characters are escaped, as in `logprobs`:
            `bytes:\\xe4\\xbd`.
        bytes_ (list[int]): UTF-8 bytes of the token. A character may be spread over several tokens.
        learned (bool): Whether the token is part of the loss.
        label (None | str): The class that an encoder learns at this token. Null everywhere else.
    """

    id: int
    token: str
    bytes_: list[int]
    learned: bool
    label: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        token = self.token

        bytes_ = self.bytes_

        learned = self.learned

        label: None | str
        label = self.label

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "token": token,
                "bytes": bytes_,
                "learned": learned,
                "label": label,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        token = d.pop("token")

        bytes_ = cast(list[int], d.pop("bytes"))

        learned = d.pop("learned")

        def _parse_label(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        label = _parse_label(d.pop("label"))

        previewed_token = cls(
            id=id,
            token=token,
            bytes_=bytes_,
            learned=learned,
            label=label,
        )

        previewed_token.additional_properties = d
        return previewed_token

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
