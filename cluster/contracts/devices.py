"""The devices that training may use, as the operator names them."""

from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, model_validator

from cluster.contracts.frozen import FrozenModel

Size = Annotated[ByteSize, Field(gt=0)]
"""Bytes, or text such as `80GB` or `1.5TiB`."""


class Pool(FrozenModel):
    """Nodes of one kind. A job trains within one pool."""

    name: str = Field(default="training", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    kind: Literal["cuda", "cpu"]
    nodes: int = Field(default=1, ge=1)
    """The most nodes that the pool can have, also if it has fewer at the moment."""
    devices: int = Field(ge=1)
    """On each node: its GPUs, or how many workers its processors can run."""
    device_bytes: Size | None = None
    """Memory of one GPU. A CPU has none of its own."""
    host_bytes: Size | None = None
    """Memory of one node. None if it is not known, for GPUs only."""

    @model_validator(mode="after")
    def _memory_of_its_kind(self) -> Self:
        if self.kind == "cuda" and self.device_bytes is None:
            raise ValueError("a pool of GPUs needs device_bytes")
        if self.kind == "cpu" and (self.host_bytes is None or self.device_bytes is not None):
            raise ValueError("a pool of CPUs needs host_bytes, and has no device_bytes")
        return self

    @property
    def all_devices(self) -> int:
        return self.nodes * self.devices

    @property
    def bytes_per_worker(self) -> int:
        """Memory for one worker if the node is full."""
        size = self.device_bytes if self.kind == "cuda" else None
        return int(size if size is not None else (self.host_bytes or 0) // self.devices)
