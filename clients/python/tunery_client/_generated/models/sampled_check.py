from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="SampledCheck")


@_attrs_define
class SampledCheck:
    """A check that covered only a part of the file, to limit its memory use.

    Attributes:
        codes (list[str]):
        n_checked (int):
        n_rows (int):
    """

    codes: list[str]
    n_checked: int
    n_rows: int

    def to_dict(self) -> dict[str, Any]:
        codes = self.codes

        n_checked = self.n_checked

        n_rows = self.n_rows

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "codes": codes,
                "n_checked": n_checked,
                "n_rows": n_rows,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        codes = cast(list[str], d.pop("codes"))

        n_checked = d.pop("n_checked")

        n_rows = d.pop("n_rows")

        sampled_check = cls(
            codes=codes,
            n_checked=n_checked,
            n_rows=n_rows,
        )

        return sampled_check
