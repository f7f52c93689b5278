"""Reads the layers of a base from the headers of its safetensors files, without torch and without the
weights."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cluster.bases import hub
from cluster.bases.configs import read_config, weight_files
from cluster.bases.resolve import ask_hub, folder_here, local_folder, tokenizer_folder
from cluster.contracts.adapter_layers import BaseLayers
from cluster.contracts.bases import BaseSpec, HubSource
from cluster.contracts.errors import InvalidConfiguration

_NUM_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_MAX_HEADER_BYTES = 100 * 2**20


class StoredTensor(NamedTuple):
    dtype: str
    """safetensors' name of the type, such as "BF16"."""
    shape: tuple[int, ...]


def layers_here(spec: BaseSpec) -> BaseLayers | None:
    """Returns the layers of a base whose folder is on this machine; None if it is not there or cannot be
    read."""
    if isinstance(spec.source, HubSource):
        return None
    try:
        return read_layers(local_folder(spec.source))
    except InvalidConfiguration:
        return None


def base_layers(spec: BaseSpec) -> BaseLayers:
    """Returns the layers of a base. For a hub model that is not here yet, only the headers of its files are
    fetched. Raises Unavailable like `tokenizer_folder`, and InvalidConfiguration like `read_layers`."""
    folder = tokenizer_folder(spec)
    with _readable(folder):
        return _layers(stored_tensors(spec, folder), folder)


def stored_tensors(spec: BaseSpec, folder: Path) -> dict[str, StoredTensor]:
    """Returns all tensors in the files of weights of the base in `folder`, by name. For a hub model that is
    not here yet, only the headers of its files are fetched. Raises Unavailable like `tokenizer_folder`, and
    InvalidConfiguration if the files cannot be read."""
    if isinstance(spec.source, HubSource) and folder_here(spec) is None:
        found = ask_hub(spec, spec.source, hub.stored_tensors)
        return {name: StoredTensor(*tensor) for name, tensor in found.items()}
    with _readable(folder):
        return _tensors(folder, *_changed_at(folder))


def read_layers(folder: Path) -> BaseLayers:
    """Reads the layers of the base in `folder`. Raises InvalidConfiguration if its files cannot be read."""
    with _readable(folder):
        return _layers(_tensors(folder, *_changed_at(folder)), folder)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidConfiguration(
            f"The layers of {folder.name} cannot be read: {type(error).__name__}.", param="TUNERY_CATALOGUE"
        ) from error


def _changed_at(folder: Path) -> list[int]:
    return [file.stat().st_mtime_ns for file in sorted(folder.glob("*.safetensors"))]


@lru_cache(maxsize=64)
def _tensors(folder: Path, *_changed_at: int) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        if not _is_whole(file):
            raise InvalidConfiguration(
                f"The model's {file.name} is cut short, or no safetensors file.", param="TUNERY_CATALOGUE"
            )
        for name, tensor in _header(file).items():
            tensors[name] = StoredTensor(tensor["dtype"], tuple(tensor["shape"]))
    return tensors


def _layers(tensors: Mapping[str, StoredTensor], folder: Path) -> BaseLayers:
    weights = {
        name.removesuffix(".weight"): tensor.shape
        for name, tensor in tensors.items()
        if name.endswith(".weight")
    }
    config = read_config(folder)
    config = {**config, **(config.get("text_config") or {})}
    # Nemotron-H names its blocks instead of counting them.
    named = config.get("layers_block_type") or []
    num_layers = next((config[name] for name in _NUM_LAYERS if name in config), len(named) or None)
    return BaseLayers(weights, config.get("vocab_size"), num_layers)


def _is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its own header says."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        ends = [tensor["data_offsets"][1] for tensor in _header(file).values()]
        return file.stat().st_size == 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > _MAX_HEADER_BYTES:
            raise ValueError("not a safetensors file")
        header: dict[str, Any] = json.loads(stream.read(size))
    header.pop("__metadata__", None)
    return header
