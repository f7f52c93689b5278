"""Writes whole models as transformers folders, file by file."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from cluster.contracts.plan import SERVED_FILE_BYTES
from cluster.training.checkpoints.export import DTYPES
from cluster.training.model.head import causal_model
from cluster.training.model.merged import ReadWeight, Stored, stored_state, weight_from
from cluster.training.world import World

INDEX_FILE = "model.safetensors.index.json"
_LAYER = re.compile(r"(.*?\.\d+)\.")


@dataclass(frozen=True, slots=True)
class ShardedFiles:
    """The files that one worker wrote of a model's weights."""

    places: dict[str, str]
    """The file of each tensor."""
    total_bytes: int


def write_sharded(
    model: Any,
    dtype: str,
    folder: Path,
    world: World = World(),
    heartbeat: Callable[[], None] = lambda: None,
    read: ReadWeight = weight_from(None),
) -> ShardedFiles:
    """Writes a transformers model's weights in `dtype` as safetensors files of at most SERVED_FILE_BYTES, or
    of one layer if that is larger, with its adapter merged into them if `model` is PEFT's wrapper. `read`
    returns weights of layers in 4 bits.

    All workers call this, and share the files among them. Each tensor is gathered when its turn comes, while
    a thread of each worker writes the previous file. Workers that shard the weights therefore write at the
    same time, and none ever holds more than two files in memory."""
    inner = causal_model(model)
    shards = list(_shards(stored_state(model, read), inner, DTYPES[dtype]))
    places: dict[str, str] = {}
    total = 0
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="served-files") as thread:
        for number, shard in enumerate(shards):
            is_ours = number % world.size == world.rank
            tensors = {}
            for name, weight in shard.items():
                # Parts of a sharded weight are gathered from all workers. Any other weight is merged by one
                # of them.
                full = weight.read() if is_ours or world.is_sharded else None
                if is_ours:
                    assert full is not None
                    kept = DTYPES[dtype] if full.is_floating_point() else full.dtype
                    tensors[name] = full.to("cpu", kept, copy=True).contiguous()
                heartbeat()
            if is_ours:
                file = "model.safetensors"
                if len(shards) > 1:
                    file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
                stored = _as_loaded(inner, tensors)
                if writing is not None:
                    writing.result()
                writing = thread.submit(save_file, stored, folder / file, metadata={"format": "pt"})
                places |= dict.fromkeys(stored, file)
                total += sum(tensor.nbytes for tensor in stored.values())
                heartbeat()
        if writing is not None:
            writing.result()
    return ShardedFiles(places, total)


def merge(adapted: Any, tokenizer: Any, dtype: str, folder: Path) -> None:
    """Merges an adapter into its base, and writes the result as a transformers folder. `adapted` is PEFT's
    wrapper, which stays as it is. Computes in fp32 and rounds once, when the result is stored in `dtype`.

    Raises ValueError for a base in 4 bits, whose quantization steps are larger than most of an adapter's
    changes.
    """
    base = adapted.get_base_model()
    if getattr(base, "is_quantized", False):
        raise ValueError("An adapter is merged into the base's full precision, never into 4 bits.")
    write_config(base, tokenizer, {}, dtype, folder)
    write_index([write_sharded(adapted, dtype, folder)], folder)


def write_index(shares: list[ShardedFiles], folder: Path) -> Path | None:
    """Writes the index of all workers' files. A single file needs none."""
    places = {name: file for share in shares for name, file in share.places.items()}
    if len(set(places.values())) == 1:
        return None
    total = sum(share.total_bytes for share in shares)
    path = folder / INDEX_FILE
    path.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2))
    return path


def write_config(
    model: Any, tokenizer: Any, processor: Mapping[str, bytes], dtype: str, folder: Path
) -> None:
    """Writes everything that a transformers folder holds besides the weights. `processor` are the files of
    its base that `processor_files` returns."""
    model.config.architectures = [type(model).__name__.removeprefix("FSDP")]
    model.config.save_pretrained(folder)
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), "dtype": dtype}
    config.pop("quantization_config", None)
    path.write_text(json.dumps(config, indent=2))
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, content in processor.items():
        (folder / name).write_bytes(content)


def _shards(state: Mapping[str, Stored], model: Any, dtype: torch.dtype) -> Iterator[dict[str, Stored]]:
    """Cuts the state into files. A layer's weights stay in one file, because some families' files arrange
    them differently than the model does."""
    ignored = set(model._keys_to_ignore_on_save or ())
    shard: dict[str, Stored] = {}
    size = 0
    for _, group in groupby(state.items(), key=lambda item: _layer_of(item[0])):
        layer = {name: weight for name, weight in group if name not in ignored}
        layer_bytes = sum(
            like.numel() * (dtype if like.is_floating_point() else like.dtype).itemsize
            for like, _ in layer.values()
        )
        if shard and size + layer_bytes > SERVED_FILE_BYTES:
            yield shard
            shard, size = {}, 0
        shard |= layer
        size += layer_bytes
    if shard:
        yield shard


def _layer_of(name: str) -> str:
    found = _LAYER.match(name)
    return found[1] if found else name


def _as_loaded(model: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors with the names and the arrangement of the family's files."""
    from transformers.core_model_loading import revert_weight_conversion

    converted: dict[str, Tensor] = revert_weight_conversion(model, tensors)
    return {name: tensor.contiguous() for name, tensor in converted.items()}
