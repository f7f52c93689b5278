from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="EarlyStopping")


@_attrs_define
class EarlyStopping:
    """Ends training when the validation loss stops falling. The result is the best checkpoint.

    Attributes:
        patience (int | Unset): Consecutive epochs without improvement before training ends. Default: 1.
        min_delta (float | Unset): How many nats the loss must fall to count as an improvement. Default: 0.0.
    """

    patience: int | Unset = 1
    min_delta: float | Unset = 0.0

    def to_dict(self) -> dict[str, Any]:
        patience = self.patience

        min_delta = self.min_delta

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if patience is not UNSET:
            field_dict["patience"] = patience
        if min_delta is not UNSET:
            field_dict["min_delta"] = min_delta

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        patience = d.pop("patience", UNSET)

        min_delta = d.pop("min_delta", UNSET)

        early_stopping = cls(
            patience=patience,
            min_delta=min_delta,
        )

        return early_stopping
