"""Reads the layers of a base from the headers of its safetensors files, without torch and without the
weights."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster.bases import hub
from cluster.bases.resolve import ask_hub, base_folder, is_here, local_folder, tokenizer_folder
from cluster.contracts.adapter_layers import BaseLayers
from cluster.contracts.bases import BaseSpec, HubSource
from cluster.contracts.errors import InvalidConfiguration

_INDEX = "model.safetensors.index.json"
_NUM_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_MAX_HEADER_BYTES = 100 * 2**20


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
    """Returns the layers of a base. Of a hub model that is not here yet, only the headers of its files are
    fetched. Raises Unavailable like `tokenizer_folder`, and InvalidConfiguration like `read_layers`."""
    if isinstance(spec.source, HubSource) and not is_here(spec):
        folder = tokenizer_folder(spec)
        shapes = ask_hub(spec, spec.source, hub.weight_shapes)
        with _readable(folder):
            return _layers(shapes, folder)
    return read_layers(base_folder(spec))


def read_layers(folder: Path) -> BaseLayers:
    """Reads the layers of the base in `folder`. Raises InvalidConfiguration if its files cannot be read."""
    with _readable(folder):
        return _read(folder, *(file.stat().st_mtime_ns for file in sorted(folder.glob("*.safetensors"))))


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidConfiguration(
            f"The layers of {folder.name} cannot be read: {type(error).__name__}.", param="TUNERY_CATALOGUE"
        ) from error


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its own header says."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        ends = [tensor["data_offsets"][1] for tensor in _header(file).values()]
        return file.stat().st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads. A folder may also hold the same weights in another format. Raises
    OSError, ValueError or KeyError if the index cannot be read."""
    index, alone = folder / _INDEX, folder / "model.safetensors"
    if index.exists():
        return [folder / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
    return [alone] if alone.exists() else sorted(folder.glob("*.safetensors"))


@lru_cache(maxsize=64)
def _read(folder: Path, *_changed_at: int) -> BaseLayers:
    shapes = {
        name: tuple(tensor["shape"])
        for file in weight_files(folder)
        for name, tensor in _header(file).items()
    }
    return _layers(shapes, folder)


def _layers(shapes: Mapping[str, tuple[int, ...]], folder: Path) -> BaseLayers:
    """`shapes` are those of all tensors, by their names in the files of weights."""
    weights = {
        name.removesuffix(".weight"): shape for name, shape in shapes.items() if name.endswith(".weight")
    }
    config = json.loads((folder / "config.json").read_bytes())
    config = {**config, **(config.get("text_config") or {})}
    num_layers = next((config[name] for name in _NUM_LAYERS if name in config), None)
    return BaseLayers(weights, config.get("vocab_size"), num_layers)


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > _MAX_HEADER_BYTES:
            raise ValueError("not a safetensors file")
        header: dict[str, Any] = json.loads(stream.read(size))
    header.pop("__metadata__", None)
    return header
