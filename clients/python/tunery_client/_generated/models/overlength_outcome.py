from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.overlength_outcome_on_overlength import (
    OverlengthOutcomeOnOverlength,
    check_overlength_outcome_on_overlength,
)

T = TypeVar("T", bound="OverlengthOutcome")


@_attrs_define
class OverlengthOutcome:
    """What `training.on_overlength` would do with the file.

    Attributes:
        on_overlength (OverlengthOutcomeOnOverlength):
        is_accepted (bool): Whether a job would start.
        n_trained (int):
        n_dropped (int):
        n_truncated (int):
    """

    on_overlength: OverlengthOutcomeOnOverlength
    is_accepted: bool
    n_trained: int
    n_dropped: int
    n_truncated: int

    def to_dict(self) -> dict[str, Any]:
        on_overlength: str = self.on_overlength

        is_accepted = self.is_accepted

        n_trained = self.n_trained

        n_dropped = self.n_dropped

        n_truncated = self.n_truncated

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "on_overlength": on_overlength,
                "is_accepted": is_accepted,
                "n_trained": n_trained,
                "n_dropped": n_dropped,
                "n_truncated": n_truncated,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        on_overlength = check_overlength_outcome_on_overlength(d.pop("on_overlength"))

        is_accepted = d.pop("is_accepted")

        n_trained = d.pop("n_trained")

        n_dropped = d.pop("n_dropped")

        n_truncated = d.pop("n_truncated")

        overlength_outcome = cls(
            on_overlength=on_overlength,
            is_accepted=is_accepted,
            n_trained=n_trained,
            n_dropped=n_dropped,
            n_truncated=n_truncated,
        )

        return overlength_outcome
