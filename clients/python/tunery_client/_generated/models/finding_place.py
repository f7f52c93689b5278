from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="FindingPlace")


@_attrs_define
class FindingPlace:
    """Where a problem occurs.

    Attributes:
        line (int): Line number from 1; 0 means the file as a whole.
        column (int): Column in characters, counted from 1. Default: 1.
        param (None | str): The value in the line, e.g. `messages[2].content`.
        related_line (int | None): The line that this one repeats or contradicts.
        hint (None | str): What is expected here, or a number with more detail.
    """

    line: int
    param: None | str
    related_line: int | None
    hint: None | str
    column: int = 1

    def to_dict(self) -> dict[str, Any]:
        line = self.line

        column = self.column

        param: None | str
        param = self.param

        related_line: int | None
        related_line = self.related_line

        hint: None | str
        hint = self.hint

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "line": line,
                "column": column,
                "param": param,
                "related_line": related_line,
                "hint": hint,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        line = d.pop("line")

        column = d.pop("column")

        def _parse_param(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        param = _parse_param(d.pop("param"))

        def _parse_related_line(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        related_line = _parse_related_line(d.pop("related_line"))

        def _parse_hint(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        hint = _parse_hint(d.pop("hint"))

        finding_place = cls(
            line=line,
            column=column,
            param=param,
            related_line=related_line,
            hint=hint,
        )

        return finding_place
