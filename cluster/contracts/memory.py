"""A simple estimate of the memory that training takes on each device. Pure arithmetic over the base's layers;
what a finished run really took is measured (`RunCost.memory_bytes`)."""

from dataclasses import dataclass
from math import prod

from cluster.contracts.adapter_layers import BaseLayers
from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import TrainingConfig

_BYTES = {"float32": 4.0, "bfloat16": 2.0}
_FOUR_BITS = 0.5 + 4 / 64
"""Bytes of a weight in NF4, with a float32 scale for every 64."""
_MOMENTS = {"adamw": 8.0, "adamw_8bit": 2.0}
"""AdamW's two moments of a parameter, in bytes."""
_KEPT = 17
"""Numbers that a block keeps for the backward pass, for each token and hidden unit, without attention
matrices (Korthikanti et al., 2022, arXiv:2205.05198, section 4.1: 34 bytes in 16 bits)."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on each device."""

    weights: int
    trained: int
    """Trained weights beside the frozen ones. 0 for a full fine-tune, whose weights are all trained."""
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.trained + self.gradients + self.optimizer + self.activations


def memory_plan(
    base: BaseSpec, layers: BaseLayers, config: TrainingConfig, *, longest: int
) -> MemoryPlan | None:
    """`longest` is the number of tokens in the longest example. None if the shape of the base or the size of
    the adapter is not known."""
    sizes = {name: prod(shape) for name, shape in layers.shapes.items()}
    hidden = next((layers.shapes[name][1] for name in sorted(layers.outer)), None)
    if config.type == "peft" or not layers.linear or hidden is None or layers.num_layers is None:
        return None
    devices = config.num_workers if config.parallelism == "fsdp" else 1
    number = _BYTES["float32" if config.type == "full" else base.dtype]
    weights = sum(
        size * (_FOUR_BITS if config.type == "qlora" and name in layers.linear else number)
        for name, size in sizes.items()
    )
    trained = sum(sizes.values()) if config.type == "full" else _adapter(layers, config)
    tokens = max(config.microbatch_tokens, longest)
    blocks = 1 if config.activation_checkpointing in ("full", "offload") else layers.num_layers
    kept = tokens * hidden * (_KEPT * blocks + layers.num_layers)
    return MemoryPlan(
        weights=int(weights / devices),
        trained=0 if config.type == "full" else 4 * trained // devices,
        gradients=4 * trained // devices,
        optimizer=int(_MOMENTS[config.optimizer] * trained / devices),
        activations=int(kept * _BYTES[base.dtype]),
    )


def _adapter(layers: BaseLayers, config: TrainingConfig) -> int:
    """Parameters of the LoRA adapter."""
    wanted = config.target_modules
    return sum(
        config.r * sum(layers.shapes[name])
        for name in layers.linear
        if wanted == "all-linear" or any(name == each or name.endswith(f".{each}") for each in wanted)
    )
