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
    from ..models.dpo_body import DpoBody


T = TypeVar("T", bound="DpoMethodBody")


@_attrs_define
class DpoMethodBody:
    """Direct preference optimization: learns from pairs of a better and a worse answer.

    Attributes:
        type_ (Literal['dpo']):
        dpo (DpoBody | None | Unset):
    """

    type_: Literal["dpo"]
    dpo: DpoBody | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.dpo_body import DpoBody  # noqa: PLC0415

        type_ = self.type_

        dpo: dict[str, Any] | None | Unset
        if isinstance(self.dpo, Unset):
            dpo = UNSET
        elif isinstance(self.dpo, DpoBody):
            dpo = self.dpo.to_dict()
        else:
            dpo = self.dpo

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
            }
        )
        if dpo is not UNSET:
            field_dict["dpo"] = dpo

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.dpo_body import DpoBody  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["dpo"], d.pop("type"))
        if type_ != "dpo":
            raise ValueError(f"type must match const 'dpo', got '{type_}'")

        def _parse_dpo(data: object) -> DpoBody | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                dpo_type_0 = DpoBody.from_dict(data)

                return dpo_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(DpoBody | None | Unset, data)

        dpo = _parse_dpo(d.pop("dpo", UNSET))

        dpo_method_body = cls(
            type_=type_,
            dpo=dpo,
        )

        return dpo_method_body
