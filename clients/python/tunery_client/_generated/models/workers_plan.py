from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.workers_plan_activation_checkpointing import (
    WorkersPlanActivationCheckpointing,
    check_workers_plan_activation_checkpointing,
)
from ..models.workers_plan_parallelism import (
    WorkersPlanParallelism,
    check_workers_plan_parallelism,
)

T = TypeVar("T", bound="WorkersPlan")


@_attrs_define
class WorkersPlan:
    """How an elastic job runs with one number of workers.

    Attributes:
        pool (None | str): Name of the pool. Null for any pool.
        num_workers (int):
        parallelism (WorkersPlanParallelism):
        activation_checkpointing (WorkersPlanActivationCheckpointing):
        microbatch_tokens (int): Tokens of one forward pass of each worker. The batch is the same with any number of
            workers.
    """

    pool: None | str
    num_workers: int
    parallelism: WorkersPlanParallelism
    activation_checkpointing: WorkersPlanActivationCheckpointing
    microbatch_tokens: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        pool: None | str
        pool = self.pool

        num_workers = self.num_workers

        parallelism: str = self.parallelism

        activation_checkpointing: str = self.activation_checkpointing

        microbatch_tokens = self.microbatch_tokens

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "pool": pool,
                "num_workers": num_workers,
                "parallelism": parallelism,
                "activation_checkpointing": activation_checkpointing,
                "microbatch_tokens": microbatch_tokens,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_pool(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        pool = _parse_pool(d.pop("pool"))

        num_workers = d.pop("num_workers")

        parallelism = check_workers_plan_parallelism(d.pop("parallelism"))

        activation_checkpointing = check_workers_plan_activation_checkpointing(
            d.pop("activation_checkpointing")
        )

        microbatch_tokens = d.pop("microbatch_tokens")

        workers_plan = cls(
            pool=pool,
            num_workers=num_workers,
            parallelism=parallelism,
            activation_checkpointing=activation_checkpointing,
            microbatch_tokens=microbatch_tokens,
        )

        workers_plan.additional_properties = d
        return workers_plan

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
