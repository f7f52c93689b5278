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

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.multi_grader_graders import MultiGraderGraders


T = TypeVar("T", bound="MultiGrader")


@_attrs_define
class MultiGrader:
    """A formula over the scores of other graders.

    Attributes:
        type_ (Literal['multi']):
        graders (MultiGraderGraders): By the name that the formula uses. One grader alone goes by its own name.
        calculate_output (str): Numbers, names of graders, `+ - * / ^`, parentheses, and min, max, abs, floor, ceil,
            exp, sqrt, log.
        name (str | Unset):  Default: 'grader'.
    """

    type_: Literal["multi"]
    graders: MultiGraderGraders
    calculate_output: str
    name: str | Unset = "grader"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        graders = self.graders.to_dict()

        calculate_output = self.calculate_output

        name = self.name

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "graders": graders,
                "calculate_output": calculate_output,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.multi_grader_graders import MultiGraderGraders  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["multi"], d.pop("type"))
        if type_ != "multi":
            raise ValueError(f"type must match const 'multi', got '{type_}'")

        graders = MultiGraderGraders.from_dict(d.pop("graders"))

        calculate_output = d.pop("calculate_output")

        name = d.pop("name", UNSET)

        multi_grader = cls(
            type_=type_,
            graders=graders,
            calculate_output=calculate_output,
            name=name,
        )

        return multi_grader
