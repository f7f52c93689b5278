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
    from ..models.supervised_body import SupervisedBody


T = TypeVar("T", bound="SupervisedMethodBody")


@_attrs_define
class SupervisedMethodBody:
    """
    Attributes:
        type_ (Literal['supervised']):
        supervised (None | SupervisedBody | Unset):
    """

    type_: Literal["supervised"]
    supervised: None | SupervisedBody | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.supervised_body import SupervisedBody  # noqa: PLC0415

        type_ = self.type_

        supervised: dict[str, Any] | None | Unset
        if isinstance(self.supervised, Unset):
            supervised = UNSET
        elif isinstance(self.supervised, SupervisedBody):
            supervised = self.supervised.to_dict()
        else:
            supervised = self.supervised

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
            }
        )
        if supervised is not UNSET:
            field_dict["supervised"] = supervised

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.supervised_body import SupervisedBody  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["supervised"], d.pop("type"))
        if type_ != "supervised":
            raise ValueError(f"type must match const 'supervised', got '{type_}'")

        def _parse_supervised(data: object) -> None | SupervisedBody | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                supervised_type_0 = SupervisedBody.from_dict(data)

                return supervised_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | SupervisedBody | Unset, data)

        supervised = _parse_supervised(d.pop("supervised", UNSET))

        supervised_method_body = cls(
            type_=type_,
            supervised=supervised,
        )

        return supervised_method_body
