"""Finds which tensors a set of safetensors files holds, and where: the index of sharded state."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open

from cluster.contracts.frozen import FrozenModel


class Chunk(FrozenModel):
    """A box of a tensor, stored as a tensor of its own."""

    offsets: list[int]
    """Offsets of the box in the tensor, by dimension."""
    sizes: list[int]
    file: str
    key: str
    """The chunk's name in the file."""


class SavedTensor(FrozenModel):
    dtype: str
    """torch's name, such as `bfloat16`."""
    shape: list[int]
    chunks: list[Chunk]
    """Chunks that together cover the tensor. Their number depends on the number of workers that saved it."""

    @property
    def torch_dtype(self) -> torch.dtype:
        found = getattr(torch, self.dtype, None)
        if not isinstance(found, torch.dtype):
            raise ValueError(f"{self.dtype!r} is not a type of tensors.")
        return found


Index = Mapping[str, SavedTensor]
"""Saved tensors by name."""


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def index_of_file(path: Path, name_of: Callable[[str], str]) -> dict[str, SavedTensor]:
    """Returns the index of a file of whole tensors. `name_of` turns a name in the file into the saved
    tensor's name."""
    index = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - it is not a mapping
            tensor = file.get_tensor(key)
            shape = list(tensor.shape)
            whole = Chunk(offsets=[0] * len(shape), sizes=shape, file=path.name, key=key)
            index[name_of(key)] = SavedTensor(dtype=dtype_name(tensor.dtype), shape=shape, chunks=[whole])
    return index
