from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="MlflowOptions")


@_attrs_define
class MlflowOptions:
    """Where in MLflow the job's run is shown.

    Attributes:
        experiment (str): Experiment of the run. It is created if it does not exist.
        name (None | str | Unset): Name of the run. By default the job's id.
    """

    experiment: str
    name: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        experiment = self.experiment

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "experiment": experiment,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        experiment = d.pop("experiment")

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        mlflow_options = cls(
            experiment=experiment,
            name=name,
        )

        return mlflow_options
