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

if TYPE_CHECKING:
    from ..models.wandb_options import WandbOptions


T = TypeVar("T", bound="WandbIntegrationBody")


@_attrs_define
class WandbIntegrationBody:
    """Shows the job's metrics in Weights & Biases while it runs.

    Attributes:
        type_ (Literal['wandb']):
        wandb (WandbOptions): Where in Weights & Biases the job's run is shown.
    """

    type_: Literal["wandb"]
    wandb: WandbOptions

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        wandb = self.wandb.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "wandb": wandb,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.wandb_options import WandbOptions  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["wandb"], d.pop("type"))
        if type_ != "wandb":
            raise ValueError(f"type must match const 'wandb', got '{type_}'")

        wandb = WandbOptions.from_dict(d.pop("wandb"))

        wandb_integration_body = cls(
            type_=type_,
            wandb=wandb,
        )

        return wandb_integration_body
