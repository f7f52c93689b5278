"""The devices that training may use, as the operator names them."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, field_validator, model_validator

from cluster.contracts.frozen import FrozenModel

Size = Annotated[ByteSize, Field(gt=0)]
"""Bytes, or text such as `80GB` or `1.5TiB`."""


ACCELERATOR_LABEL = "ray.io/accelerator-type"
"""Ray's own label of a node with GPUs."""
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class TrainingClaim(FrozenModel):
    """What training has and wants of the GPUs that it shares with serving."""

    devices: int = Field(ge=0)
    idle_seconds: float = Field(ge=0)
    """Only models that were not asked for during this time give their devices up."""
    labels: dict[str, str] | None = None
    """Labels of the nodes with these devices, as a pool's `selector`. None: the first GPUs that models are
    served on."""


class ClaimAnswer(FrozenModel):
    is_granted: bool
    """Whether no model holds any of the claimed devices."""
    floor: int = 0
    """Devices of these nodes that are always the models'."""
    needed: int = 0
    """Devices of the models that are in use, or were asked for but have none."""


class Pool(FrozenModel):
    """Nodes of one kind. A job trains within one pool."""

    name: str = Field(default="training", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    kind: Literal["cuda", "cpu"]
    nodes: int = Field(default=1, ge=1)
    """The most nodes that the pool can have, also if it has fewer at the moment."""
    min_nodes: int | None = Field(default=None, ge=0)
    """The fewest nodes that the autoscaler keeps, if there is one. None: nobody adds nodes for jobs that
    wait."""
    devices: int = Field(ge=1)
    """On each node: its GPUs, or how many workers its processors can run."""
    device_bytes: Size | None = None
    """Memory of one GPU. A CPU has none of its own."""
    host_bytes: Size | None = None
    """Memory of one node. None if it is not known, for GPUs only."""
    accelerator_type: str | None = None
    """Type of the GPUs, as Ray names it: `H100`, `A100`, `L4`. The nodes then have Ray's label of it, which
    Ray finds out by itself on most nodes."""
    labels: dict[str, str] = {}
    """Ray's labels of these nodes, such as `{"pool": "spot"}`. Without labels and accelerator type, the pool
    has the nodes that no other pool names."""
    floor: int = Field(default=0, ge=0)
    """Devices, over all nodes, that are never given away where jobs and models share them: jobs' in a pool
    for training, models' in a pool for serving."""
    price: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Price of one device-second. Only its relation to the other pools' prices counts, so any unit will
    do."""

    @field_validator("labels")
    @classmethod
    def _labels_of_ray(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            # Ray would read an operator, such as `!` or `in(`, and match other nodes.
            if not (_LABEL_KEY.fullmatch(key) and value and _LABEL_VALUE.fullmatch(value)):
                raise ValueError(f"{key}={value!r} is not a label that a node of Ray can have")
        return labels

    @field_validator("accelerator_type")
    @classmethod
    def _type_of_ray(cls, name: str | None) -> str | None:
        if name is not None and not (name and _LABEL_VALUE.fullmatch(name)):
            raise ValueError(f"{name!r} is not an accelerator type of Ray")
        return name

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.floor > self.all_devices:
            raise ValueError(f"floor is {self.floor}, but the pool has {self.all_devices} devices")
        if self.min_nodes is not None and self.min_nodes > self.nodes:
            raise ValueError(f"min_nodes is {self.min_nodes}, but nodes, the most, is {self.nodes}")
        if self.accelerator_type is not None and self.kind == "cpu":
            raise ValueError("a pool of CPUs has no accelerator_type")
        if self.selector.get(ACCELERATOR_LABEL) != self.labels.get(ACCELERATOR_LABEL, self.accelerator_type):
            raise ValueError(f"accelerator_type is not what the label {ACCELERATOR_LABEL} says")
        return self

    @model_validator(mode="after")
    def _memory_of_its_kind(self) -> Self:
        if self.kind == "cuda" and self.device_bytes is None:
            raise ValueError("a pool of GPUs needs device_bytes")
        if self.kind == "cpu" and (self.host_bytes is None or self.device_bytes is not None):
            raise ValueError("a pool of CPUs needs host_bytes, and has no device_bytes")
        return self

    @property
    def selector(self) -> dict[str, str]:
        """The labels that a node of this pool has, that of its accelerator included."""
        named = {} if self.accelerator_type is None else {ACCELERATOR_LABEL: self.accelerator_type}
        return self.labels | named

    @property
    def all_devices(self) -> int:
        return self.nodes * self.devices

    @property
    def bytes_per_worker(self) -> int:
        """Memory for one worker if the node is full."""
        size = self.device_bytes if self.kind == "cuda" else None
        return int(size if size is not None else (self.host_bytes or 0) // self.devices)


def check_pools(pools: Sequence[Pool]) -> None:
    """Raises ValueError if it is not clear which pool a node belongs to."""
    named: dict[str, Pool] = {}
    by_labels: dict[frozenset[tuple[str, str]], Pool] = {}
    for pool in pools:
        if pool.name in named:
            raise ValueError(f"two pools have the name '{pool.name}'")
        named[pool.name] = pool
        twin = by_labels.setdefault(frozenset(pool.selector.items()), pool)
        if twin is not pool:
            shared = "the same labels" if pool.selector else "no labels"
            raise ValueError(
                f"pools '{twin.name}' and '{pool.name}' have {shared}, so that a node could be of either"
            )
