"""Reads LoRA adapters in PEFT's format, and refuses anything beyond plain LoRA."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cluster.bases.lora_form import more_than_lora
from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.serving.weights.adapter import Adapter, LoraPair

_TENSOR_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


class _Config(BaseModel):
    """The fields of adapter_config.json that change what the adapter computes:
    `cluster.bases.lora_form.COMPUTED_FIELDS`."""

    model_config = ConfigDict(extra="ignore")

    r: int
    lora_alpha: float
    target_modules: list[str] | str | None = None
    use_rslora: bool = False
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}

    def scale(self, module: str, rank: int) -> float:
        """Returns alpha / r, or alpha / sqrt(r) for rsLoRA (Kalajdzievski, 2023, arXiv:2312.03732)."""
        expected = self.rank_pattern.get(_pattern(self.rank_pattern, module), self.r)
        if rank != expected:
            raise InvalidRequest(
                f"Layer {module} of the adapter has rank {rank}; its configuration says {expected}.",
                param="model",
            )
        alpha = self.alpha_pattern.get(_pattern(self.alpha_pattern, module), self.lora_alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def read_adapter(
    folder: Path, digest: str, shapes: Mapping[str, tuple[int, int]], device: torch.device
) -> Adapter:
    """Reads the adapter in `folder` onto `device`. `shapes` are the (in, out) of the base's linear layers.

    Raises InvalidRequest for anything but plain LoRA on layers of these shapes, and CorruptArtefact for files
    that cannot be read or hold numbers that are not finite.
    """
    config = _read_config(folder / "adapter_config.json")
    try:
        tensors = load_file(folder / "adapter_model.safetensors")
    except (SafetensorError, OSError) as error:
        raise CorruptArtefact(f"The adapter's weights cannot be read: {error}") from error
    halves = _by_layer(tensors)
    pairs = {name: _pair(name, half, config, shapes, device) for name, half in halves.items()}
    if not pairs:
        raise InvalidRequest("The adapter holds no weights.", param="model")
    return Adapter(digest, pairs)


def _read_config(path: Path) -> _Config:
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        config = _Config.model_validate(fields)
    except (OSError, ValueError, ValidationError) as error:
        raise CorruptArtefact(f"The adapter's configuration cannot be read: {error}") from error
    if (more := more_than_lora(fields)) is not None:
        raise InvalidRequest(
            f"The adapter is not plain LoRA: {more}; it can be served merged.", param="model"
        )
    return config


def _by_layer(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR_NAME.fullmatch(name)
        if match is None:
            raise InvalidRequest(f"The adapter holds {name}, which is not plain LoRA.", param="model")
        halves.setdefault(match[1], {})[match[2]] = tensor
    return halves


def _pair(
    name: str,
    half: dict[str, Tensor],
    config: _Config,
    shapes: Mapping[str, tuple[int, int]],
    device: torch.device,
) -> LoraPair:
    if name not in shapes:
        raise InvalidRequest(
            f"The adapter changes {name}, which this base cannot adapt row by row; it can be served merged.",
            param="model",
        )
    if half.keys() != {"A", "B"}:
        raise InvalidRequest(f"The adapter has only half of layer {name}.", param="model")
    wide, tall = half["A"], half["B"]
    rank = wide.shape[0]
    width, height = shapes[name]
    if wide.shape != (rank, width) or tall.shape != (height, rank):
        raise InvalidRequest(
            f"Layer {name} of the adapter is {tuple(wide.shape)} and {tuple(tall.shape)}; this base needs "
            f"({rank}, {width}) and ({height}, {rank}).",
            param="model",
        )
    if not (wide.isfinite().all() and tall.isfinite().all()):
        raise CorruptArtefact(f"Layer {name} of the adapter holds numbers that are not finite.")
    up = tall.float() * config.scale(name, rank)
    return LoraPair(wide.float().contiguous().to(device), up.T.contiguous().to(device))


def _pattern(patterns: Mapping[str, Any], module: str) -> str:
    """Returns the first pattern that matches the end of the module's name, which is how PEFT looks it up."""
    return next((key for key in patterns if re.match(rf"(.*\.)?({key})$", module)), module)
