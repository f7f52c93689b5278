from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="UpdateRateLimitBody")


@_attrs_define
class UpdateRateLimitBody:
    """Limits that are left out stay as they are.

    Attributes:
        max_requests_per_1_minute (int | None | Unset):
        max_tokens_per_1_minute (int | None | Unset):
    """

    max_requests_per_1_minute: int | None | Unset = UNSET
    max_tokens_per_1_minute: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        max_requests_per_1_minute: int | None | Unset
        if isinstance(self.max_requests_per_1_minute, Unset):
            max_requests_per_1_minute = UNSET
        else:
            max_requests_per_1_minute = self.max_requests_per_1_minute

        max_tokens_per_1_minute: int | None | Unset
        if isinstance(self.max_tokens_per_1_minute, Unset):
            max_tokens_per_1_minute = UNSET
        else:
            max_tokens_per_1_minute = self.max_tokens_per_1_minute

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if max_requests_per_1_minute is not UNSET:
            field_dict["max_requests_per_1_minute"] = max_requests_per_1_minute
        if max_tokens_per_1_minute is not UNSET:
            field_dict["max_tokens_per_1_minute"] = max_tokens_per_1_minute

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_max_requests_per_1_minute(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_requests_per_1_minute = _parse_max_requests_per_1_minute(
            d.pop("max_requests_per_1_minute", UNSET)
        )

        def _parse_max_tokens_per_1_minute(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_tokens_per_1_minute = _parse_max_tokens_per_1_minute(d.pop("max_tokens_per_1_minute", UNSET))

        update_rate_limit_body = cls(
            max_requests_per_1_minute=max_requests_per_1_minute,
            max_tokens_per_1_minute=max_tokens_per_1_minute,
        )

        return update_rate_limit_body
