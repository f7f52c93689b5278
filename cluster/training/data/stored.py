"""A compiled training file on disk: arrays and JSON in safetensors, without executable code."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.frozen import FrozenModel
from cluster.training.data.compiler import Compiled
from cluster.training.data.dataset import Dataset

FORMAT_VERSION = 4
"""The version of this file and of the compiler. Raise it when the same rows compile to other arrays."""


class Unreadable(ValueError):
    """The file was not written by `write_compiled`, or is incomplete."""


class _Description(FrozenModel):
    """The JSON that is stored beside the arrays."""

    format: DatasetFormat
    longest: int
    truncated_lines: list[int]
    dropped_lines: list[int]
    class_names: tuple[str, ...]


def write_compiled(path: Path, compiled: Compiled) -> None:
    """Writes the compiled form of a file without problems."""
    data = compiled.dataset
    assert data is not None, "a file without problems has examples"
    assert not compiled.problems
    arrays: dict[str, npt.NDArray[Any]] = {
        "token_ids": data.token_ids,
        "mask": data.mask,
        "offsets": data.offsets,
        "lines": data.lines,
    }
    if data.class_ids is not None:
        arrays["class_ids"] = data.class_ids
    description = _Description(
        format=data.format,
        longest=compiled.longest,
        truncated_lines=data.truncated_lines,
        dropped_lines=data.dropped_lines,
        class_names=data.class_names,
    )
    save_file(arrays, path, {"description": description.model_dump_json()})


def read_compiled(path: Path) -> Compiled:
    """Reads what `write_compiled` wrote. Raises Unreadable for anything else."""
    try:
        with safe_open(path, framework="numpy") as file:
            description = _Description.model_validate_json((file.metadata() or {})["description"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # Not a mapping.
        data = Dataset(
            format=description.format,
            token_ids=_checked(arrays, "token_ids", np.int32),
            mask=_checked(arrays, "mask", np.bool_),
            offsets=_checked(arrays, "offsets", np.int64),
            lines=_checked(arrays, "lines", np.int32),
            truncated_lines=description.truncated_lines,
            dropped_lines=description.dropped_lines,
            class_ids=_checked(arrays, "class_ids", np.int32) if "class_ids" in arrays else None,
            class_names=description.class_names,
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    if not _fits(data):
        raise Unreadable("its arrays do not fit each other")
    return Compiled(data, data.format, [], description.longest)


def _checked(arrays: dict[str, npt.NDArray[Any]], name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    if arrays[name].dtype != dtype or arrays[name].ndim != 1:
        raise Unreadable(f"{name} is an array of {arrays[name].dtype}")
    return arrays[name]


def _fits(data: Dataset) -> bool:
    n_tokens = len(data.token_ids)
    return (
        len(data) > 0
        and len(data.offsets) == 1 + data.sequences_per_example * len(data)
        and data.offsets[0] == 0
        and data.offsets[-1] == n_tokens
        and bool((np.diff(data.offsets) > 0).all())
        and len(data.mask) == n_tokens
        and (data.class_ids is None or len(data.class_ids) == n_tokens)
    )
