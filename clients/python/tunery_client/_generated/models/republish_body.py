from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.republish_body_gate import RepublishBodyGate, check_republish_body_gate
from ..models.republish_body_regression import (
    RepublishBodyRegression,
    check_republish_body_regression,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="RepublishBody")


@_attrs_define
class RepublishBody:
    """
    Attributes:
        gate (RepublishBodyGate | Unset): `skip` publishes the model though serving computes other log-probabilities
            than training. It needs a
            key with the scope `admin`. Default: 'check'.
        regression (RepublishBodyRegression | Unset): `allow` publishes the model though it forgot more than
            `training.max_regression` allows. Default: 'check'.
    """

    gate: RepublishBodyGate | Unset = "check"
    regression: RepublishBodyRegression | Unset = "check"

    def to_dict(self) -> dict[str, Any]:
        gate: str | Unset = UNSET
        if not isinstance(self.gate, Unset):
            gate = self.gate

        regression: str | Unset = UNSET
        if not isinstance(self.regression, Unset):
            regression = self.regression

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if gate is not UNSET:
            field_dict["gate"] = gate
        if regression is not UNSET:
            field_dict["regression"] = regression

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _gate = d.pop("gate", UNSET)
        gate: RepublishBodyGate | Unset
        if isinstance(_gate, Unset):
            gate = UNSET
        else:
            gate = check_republish_body_gate(_gate)

        _regression = d.pop("regression", UNSET)
        regression: RepublishBodyRegression | Unset
        if isinstance(_regression, Unset):
            regression = UNSET
        else:
            regression = check_republish_body_regression(_regression)

        republish_body = cls(
            gate=gate,
            regression=regression,
        )

        return republish_body
