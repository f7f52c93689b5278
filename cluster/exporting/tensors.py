"""Tensors of a model that are read one at a time, so that a model of any size needs little memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cluster.bases.configs import weight_files
from cluster.contracts.errors import InvalidRequest

DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types of tensors that are exported, by safetensors' names. Some families store masks among their
weights."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    shape: tuple[int, ...]
    dtype: str
    """A key of DTYPES."""

    @property
    def bytes(self) -> int:
        return prod(self.shape) * DTYPES[self.dtype].itemsize


class Tensors(Protocol):
    """The tensors of a model, under the names in transformers' folders."""

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Tensors by name, in the best order for reading them."""
        ...

    def read(self, name: str) -> Tensor: ...


class StoredTensors:
    """The tensors of a folder in transformers' format. Files are memory-mapped and stay open."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder. Raises InvalidRequest (`format_not_available`) for weights that are not plain
        numbers, such as quantized ones."""
        self.infos: dict[str, TensorInfo] = {}
        self._files: dict[str, Any] = {}
        try:
            for path in weight_files(folder):
                file: Any = safe_open(path, framework="pt")
                for name in file.keys():  # noqa: SIM118  It is no mapping.
                    part = file.get_slice(name)
                    self.infos[name] = TensorInfo(tuple(part.get_shape()), part.get_dtype())
                    self._files[name] = file
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise not_available(f"its weights cannot be read ({type(error).__name__})") from error
        for name, info in self.infos.items():
            if info.dtype not in DTYPES:
                raise not_available(f"its tensor {name} is stored as {info.dtype}")

    def read(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor


def not_available(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The model cannot be exported in this format: {reason}.", code="format_not_available", param="format"
    )
