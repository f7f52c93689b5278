"""GGUF files, which llama.cpp and programs based on it load. The format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluster.bases.pretrained import read_config
from cluster.contracts.exports import ExportRequest
from cluster.exporting.llama_cpp.families import Family, converted, describe, family_of, rope_factors
from cluster.exporting.llama_cpp.vocabulary import describe_vocabulary
from cluster.exporting.shards import group
from cluster.exporting.source import Source
from cluster.exporting.streams import NewFile, bytes_of
from cluster.exporting.tensors import not_available
from cluster.scratch import scratch_folder

MAX_FILE_BYTES = 40 * 10**9
"""Maximum size of a file. Larger models are split into several files, which llama.cpp loads by the first
one."""
_PIECE_NUMBERS = 1 << 23
"""Number of elements that are converted at once."""
_BLOCK = 32
"""Number of elements that share a scale in Q8_0, which takes 34 bytes for them."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of a GGUF file."""

    shape: tuple[int, ...]
    kind: str
    """F32, F16, BF16 or Q8_0."""
    read: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * {"F32": 128, "F16": 64, "BF16": 64, "Q8_0": 34}[self.kind] // _BLOCK

    def parts(self) -> Iterator[memoryview]:
        tensor = self.read()
        rows = max(1, _PIECE_NUMBERS // max(1, prod(self.shape[1:])))
        for start in range(0, len(tensor), rows):
            yield from bytes_of(_stored(tensor[start : start + rows], self.kind))


def gguf_files(request: ExportRequest, source: Source, *, max_bytes: int = MAX_FILE_BYTES) -> list[NewFile]:
    """Returns one `model-<quantization>.gguf`, or several.

    Raises InvalidRequest (`format_not_available`) if llama.cpp would compute another model, or if the library
    `gguf` is not installed."""
    if find_spec("gguf") is None:
        raise not_available(
            "the library that writes GGUF files is not installed; the operator of this server can install "
            "the package `gguf` on the cluster"
        )
    if request.base.architecture != "decoder":
        raise not_available("GGUF files are made of models that write text")
    config = read_config(source.folder)
    family = family_of(config)
    assert request.quantization is not None, "the service chooses one"
    tensors = _tensors(source, config, family, request.quantization.upper())
    groups = group({name: tensor.bytes for name, tensor in tensors.items()}, max_bytes)
    name = f"model-{request.quantization}"
    files = []
    for number, members in enumerate(groups):
        chosen = {member: tensors[member] for member in members}
        writer = _writer(family, chosen)
        if number == 0:
            _describe(request, source, config, family, writer)
        if len(groups) > 1:
            _describe_split(writer, number, len(groups), len(tensors))
        ending = "" if len(groups) == 1 else f"-{number + 1:05d}-of-{len(groups):05d}"
        files.append(_file(f"{name}{ending}.gguf", _header(writer), chosen))
    return files


def _tensors(source: Source, config: Any, family: Family, kind: str) -> dict[str, _Tensor]:
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == family.name)
    names = get_tensor_name_map(architecture, config.num_hidden_layers)
    found = {}
    if (factors := rope_factors(config)) is not None:
        found["rope_freqs.weight"] = _Tensor(tuple(factors.shape), "F32", lambda: factors)
    for name, info in source.tensors.infos.items():
        if name.endswith(".rotary_emb.inv_freq") or (name == "lm_head.weight" and config.tie_word_embeddings):
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise not_available(f"llama.cpp has no place for its tensor {name}")
        found[known] = _Tensor(
            info.shape, _kind(info.shape, kind), partial(_read, source, name, converted(name, config, family))
        )
    return found


def _read(source: Source, name: str, convert: Callable[[Tensor], Tensor]) -> Tensor:
    return convert(source.tensors.read(name))


def _kind(shape: tuple[int, ...], wanted: str) -> str:
    """Returns the type of a tensor. Vectors stay in full precision, as llama.cpp requires."""
    if len(shape) < 2:
        return "F32"
    return "F16" if wanted == "Q8_0" and shape[-1] % _BLOCK else wanted


def _stored(tensor: Tensor, kind: str) -> Tensor:
    if kind == "F32":
        return tensor.float()
    if kind == "BF16":
        return tensor.bfloat16()
    if kind == "F16":
        half = tensor.half()
        if not half.isfinite().all():
            raise not_available("it has weights that are too large for half precision; ask for bf16 or q8_0")
        return half
    from gguf import GGMLQuantizationType, quantize

    return torch.from_numpy(quantize(tensor.float().numpy(), GGMLQuantizationType[kind]))


def _writer(family: Family, tensors: Mapping[str, _Tensor]) -> Any:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(None, family.name)
    for name, tensor in tensors.items():
        kind = GGMLQuantizationType[tensor.kind]
        writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), tensor.bytes, raw_dtype=kind)
    return writer


def _describe(request: ExportRequest, source: Source, config: Any, family: Family, writer: Any) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    assert request.quantization is not None
    writer.add_type("model")
    writer.add_name(request.model)
    writer.add_file_type(LlamaFileType[f"MOSTLY_{request.quantization.upper()}"])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    describe(config, family, writer)
    with scratch_folder() as folder:
        source.tokenizer.save_pretrained(folder)
        for name in ("config.json", "generation_config.json"):
            if (source.folder / name).is_file():
                shutil.copyfile(source.folder / name, folder / name)
        describe_vocabulary(source.tokenizer, folder, config.vocab_size, writer)


def _describe_split(writer: Any, number: int, count: int, num_tensors: int) -> None:
    writer.add_uint16("split.no", number)
    writer.add_uint16("split.count", count)
    writer.add_int32("split.tensors.count", num_tensors)


def _header(writer: Any) -> bytes:
    """Returns everything before the tensors' own bytes."""
    with scratch_folder() as folder:
        path = Path(folder) / "header"
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        return path.read_bytes()


def _file(name: str, header: bytes, tensors: Mapping[str, _Tensor]) -> NewFile:
    from gguf import GGUF_DEFAULT_ALIGNMENT

    def padding(size: int) -> bytes:
        return bytes(-size % GGUF_DEFAULT_ALIGNMENT)

    def parts() -> Iterator[memoryview]:
        yield memoryview(header + padding(len(header)))
        for tensor in tensors.values():
            yield from tensor.parts()
            yield memoryview(padding(tensor.bytes))

    sizes = [len(header), *(tensor.bytes for tensor in tensors.values())]
    return NewFile(name, sum(size + len(padding(size)) for size in sizes), parts)
