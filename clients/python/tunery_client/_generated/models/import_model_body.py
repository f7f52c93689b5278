from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ImportModelBody")


@_attrs_define
class ImportModelBody:
    """
    Attributes:
        base (str): Id of the base model that the adapter was trained on.
        files (list[str]): Ids of the uploaded files `adapter_config.json` and `adapter_model.safetensors`, in any
            order. Upload
            them with the purpose `user_data`.
        suffix (None | str | Unset): Becomes part of the model's name.
    """

    base: str
    files: list[str]
    suffix: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        base = self.base

        files = self.files

        suffix: None | str | Unset
        if isinstance(self.suffix, Unset):
            suffix = UNSET
        else:
            suffix = self.suffix

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "base": base,
                "files": files,
            }
        )
        if suffix is not UNSET:
            field_dict["suffix"] = suffix

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        base = d.pop("base")

        files = cast(list[str], d.pop("files"))

        def _parse_suffix(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        suffix = _parse_suffix(d.pop("suffix", UNSET))

        import_model_body = cls(
            base=base,
            files=files,
            suffix=suffix,
        )

        return import_model_body
