"""Safetensors files of limited size, in transformers' format. The format:
https://huggingface.co/docs/safetensors/index#format"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from cluster.exporting.streams import NewFile, bytes_of, whole_file
from cluster.exporting.tensors import TensorInfo, Tensors

MAX_SHARD_BYTES = 5 * 10**9
"""Transformers' own default."""


def group(sizes: Mapping[str, int], max_bytes: int) -> list[list[str]]:
    """Divides the names, in their order, into groups of at most `max_bytes`. A larger item forms its own
    group."""
    groups: list[list[str]] = []
    room = -1
    for name, size in sizes.items():
        if size > room:
            groups.append([])
            room = max_bytes
        groups[-1].append(name)
        room -= size
    return groups


def safetensors_files(tensors: Tensors, *, max_bytes: int = MAX_SHARD_BYTES) -> list[NewFile]:
    """Returns one `model.safetensors`, or several with an index."""
    groups = group({name: info.bytes for name, info in tensors.infos.items()}, max_bytes)
    if len(groups) == 1:
        return [_file("model.safetensors", tensors, groups[0])]
    names = [f"model-{n:05d}-of-{len(groups):05d}.safetensors" for n in range(1, len(groups) + 1)]
    index = {
        "metadata": {"total_size": sum(info.bytes for info in tensors.infos.values())},
        "weight_map": {
            tensor: name for name, members in zip(names, groups, strict=True) for tensor in members
        },
    }
    content = json.dumps(index, indent=2, sort_keys=True).encode()
    shards = [_file(name, tensors, members) for name, members in zip(names, groups, strict=True)]
    return [*shards, whole_file("model.safetensors.index.json", content)]


def _file(name: str, tensors: Tensors, members: Sequence[str]) -> NewFile:
    header = _header({tensor: tensors.infos[tensor] for tensor in members})
    size = len(header) + sum(tensors.infos[tensor].bytes for tensor in members)
    return NewFile(name, size, partial(_parts, header, tensors, members))


def _parts(header: bytes, tensors: Tensors, members: Sequence[str]) -> Iterator[memoryview]:
    yield memoryview(header)
    for name in members:
        yield from bytes_of(tensors.read(name))


def _header(infos: Mapping[str, TensorInfo]) -> bytes:
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, info in infos.items():
        start, end = end, end + info.bytes
        fields[name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": [start, end]}
    content = json.dumps(fields, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    return len(content).to_bytes(8, "little") + content
