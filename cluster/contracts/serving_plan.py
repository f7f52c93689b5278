"""How a base model is served: what the serving planner decides, and how it divides the devices' memory."""

from typing import Literal

from cluster.contracts.devices import Pool
from cluster.contracts.frozen import FrozenModel

LEAST_CONTEXT = 2048
"""A model whose devices hold fewer tokens of one sequence is refused, unless its context is shorter."""
EngineName = Literal["embedded", "vllm"]
EngineChoice = Literal["auto", "embedded", "vllm"]
"""`auto` leaves it to the planner."""
GpuSharing = Literal["off", "training_first", "serving_first", "by_load"]
"""Whether jobs and models take turns on the same GPUs, and who waits: models as soon as a job is ready, or
jobs until no model has been asked for a while. `by_load`: as the latter, and running jobs pause for models
that are asked for."""


class ServingPool(Pool):
    """Nodes that serve models."""

    name: str = "serving"


class ServingMemory(FrozenModel):
    """Bytes on each device of an engine."""

    weights: int
    adapters: int
    """All slots for adapters, which are allocated at the start."""
    activations: int
    """Bytes of the largest pass, with the logits of all sequences."""
    runtime: int
    """The process itself: libraries, the device's context, communication buffers, CUDA graphs."""
    key_values: int
    """Keys and values of all sequences: what is left."""

    @property
    def total(self) -> int:
        return sum(self.model_dump().values())


class VllmArguments(FrozenModel):
    """vLLM's arguments that depend on the model and the devices, by vLLM's names."""

    gpu_memory_utilization: float = 0.9
    """Share of each GPU's memory: for weights, adapters, passes, keys and values."""
    tensor_parallel_size: int = 1
    """GPUs of one node that share the model."""
    max_model_len: int | None = None
    """Tokens of prompt and answer; None is the base's context."""
    max_num_batched_tokens: int | None = None
    """Tokens of a pass; None is vLLM's default."""
    max_loras: int = 8
    """Adapters that one batch may mix. Each has a slot on the devices; the others stay in host memory."""
    max_lora_rank: int = 64
    """Maximum rank of an adapter: 1, 8, 16, 32, 64, 128, 256, 320 or 512. Each slot is sized for it."""


class VllmPlan(VllmArguments):
    """How a deployment of its own runs a base."""

    pool: ServingPool
    max_model_len: int
    max_num_batched_tokens: int
    max_num_seqs: int
    memory: ServingMemory | None
    """None if the model's shape is not known."""


class ServingPlan(FrozenModel):
    engine: EngineName
    reason: str
    """Why this engine."""
    vllm: VllmPlan | None = None
    """None for the embedded engine."""
