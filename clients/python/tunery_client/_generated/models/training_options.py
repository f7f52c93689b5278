from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.training_options_on_overlength import (
    TrainingOptionsOnOverlength,
    check_training_options_on_overlength,
)
from ..models.training_options_target_modules_type_0 import (
    TrainingOptionsTargetModulesType0,
    check_training_options_target_modules_type_0,
)
from ..models.training_options_type import (
    TrainingOptionsType,
    check_training_options_type,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="TrainingOptions")


@_attrs_define
class TrainingOptions:
    """Tunery's `training` extension of the create request: how the weights are adapted.

    Attributes:
        type_ (TrainingOptionsType | Unset):  Default: 'lora'.
        r (int | Unset):  Default: 16.
        alpha (float | Unset):  Default: 32.0.
        dropout (float | Unset):  Default: 0.0.
        target_modules (list[str] | TrainingOptionsTargetModulesType0 | Unset):  Default: 'all-linear'.
        on_overlength (TrainingOptionsOnOverlength | Unset):  Default: 'error'.
        num_workers (int | Unset):  Default: 1.
    """

    type_: TrainingOptionsType | Unset = "lora"
    r: int | Unset = 16
    alpha: float | Unset = 32.0
    dropout: float | Unset = 0.0
    target_modules: list[str] | TrainingOptionsTargetModulesType0 | Unset = "all-linear"
    on_overlength: TrainingOptionsOnOverlength | Unset = "error"
    num_workers: int | Unset = 1

    def to_dict(self) -> dict[str, Any]:
        type_: str | Unset = UNSET
        if not isinstance(self.type_, Unset):
            type_ = self.type_

        r = self.r

        alpha = self.alpha

        dropout = self.dropout

        target_modules: list[str] | str | Unset
        if isinstance(self.target_modules, Unset):
            target_modules = UNSET
        elif isinstance(self.target_modules, str):
            target_modules = self.target_modules
        else:
            target_modules = self.target_modules

        on_overlength: str | Unset = UNSET
        if not isinstance(self.on_overlength, Unset):
            on_overlength = self.on_overlength

        num_workers = self.num_workers

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if type_ is not UNSET:
            field_dict["type"] = type_
        if r is not UNSET:
            field_dict["r"] = r
        if alpha is not UNSET:
            field_dict["alpha"] = alpha
        if dropout is not UNSET:
            field_dict["dropout"] = dropout
        if target_modules is not UNSET:
            field_dict["target_modules"] = target_modules
        if on_overlength is not UNSET:
            field_dict["on_overlength"] = on_overlength
        if num_workers is not UNSET:
            field_dict["num_workers"] = num_workers

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _type_ = d.pop("type", UNSET)
        type_: TrainingOptionsType | Unset
        if isinstance(_type_, Unset):
            type_ = UNSET
        else:
            type_ = check_training_options_type(_type_)

        r = d.pop("r", UNSET)

        alpha = d.pop("alpha", UNSET)

        dropout = d.pop("dropout", UNSET)

        def _parse_target_modules(data: object) -> list[str] | TrainingOptionsTargetModulesType0 | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                target_modules_type_0 = check_training_options_target_modules_type_0(data)

                return target_modules_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, list):
                raise TypeError()
            target_modules_type_1 = cast(list[str], data)

            return target_modules_type_1

        target_modules = _parse_target_modules(d.pop("target_modules", UNSET))

        _on_overlength = d.pop("on_overlength", UNSET)
        on_overlength: TrainingOptionsOnOverlength | Unset
        if isinstance(_on_overlength, Unset):
            on_overlength = UNSET
        else:
            on_overlength = check_training_options_on_overlength(_on_overlength)

        num_workers = d.pop("num_workers", UNSET)

        training_options = cls(
            type_=type_,
            r=r,
            alpha=alpha,
            dropout=dropout,
            target_modules=target_modules,
            on_overlength=on_overlength,
            num_workers=num_workers,
        )

        return training_options
