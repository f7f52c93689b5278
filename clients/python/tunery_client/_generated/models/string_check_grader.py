from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..models.string_check_grader_operation import (
    StringCheckGraderOperation,
    check_string_check_grader_operation,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="StringCheckGrader")


@_attrs_define
class StringCheckGrader:
    """1 if the check holds, otherwise 0.

    Attributes:
        type_ (Literal['string_check']):
        input_ (str): The text to grade, with templates such as `{{sample.output_text}}`.
        reference (str): What it is compared with, such as `{{item.answer}}`.
        operation (StringCheckGraderOperation): Equal, not equal, contains, or contains whatever the case.
        name (str | Unset):  Default: 'grader'.
    """

    type_: Literal["string_check"]
    input_: str
    reference: str
    operation: StringCheckGraderOperation
    name: str | Unset = "grader"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        input_ = self.input_

        reference = self.reference

        operation: str = self.operation

        name = self.name

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "input": input_,
                "reference": reference,
                "operation": operation,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["string_check"], d.pop("type"))
        if type_ != "string_check":
            raise ValueError(f"type must match const 'string_check', got '{type_}'")

        input_ = d.pop("input")

        reference = d.pop("reference")

        operation = check_string_check_grader_operation(d.pop("operation"))

        name = d.pop("name", UNSET)

        string_check_grader = cls(
            type_=type_,
            input_=input_,
            reference=reference,
            operation=operation,
            name=name,
        )

        return string_check_grader
