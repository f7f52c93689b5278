"""How a job runs: what the planner decides, and what it expects that to take."""

from typing import Literal

from cluster.contracts.bases import WeightsForm
from cluster.contracts.devices import Pool
from cluster.contracts.frozen import FrozenModel

Parallelism = Literal["single", "ddp", "fsdp", "hsdp"]
"""One worker; several with a copy of the model each; several that shard one copy; or a sharded copy on each
node."""

ActivationCheckpointing = Literal["none", "full", "offload"]

MICROBATCH_TOKENS = 8192
"""Tokens of a forward pass, where there is memory for them."""

CPU_PASS_TOKENS = 2048
"""On a CPU, larger passes are no faster than this and need twice the memory."""

LOSS_LOGITS = 1 << 24
"""Logits that the loss of answers computes at once: 64 MB in fp32."""

LEAST_LOSS_ROWS = 256
"""Tokens of which the loss computes all logits at once, however many that are: with fewer, matrix
multiplications would be too small."""

PAIR_LOGITS = 1 << 26
"""Logits for which log-probabilities, such as those of pairs, are computed at once: 256 MB in fp32."""

SERVED_FILE_BYTES = 2 << 30
"""A file of a whole model's weights has about this size."""


class DeviceMemory(FrozenModel):
    """Bytes on each device at the peak of a step: of a GPU, or of the worker's process on a CPU."""

    weights: int
    """As this device holds them: sharded ones are its part."""
    trained_weights: int
    """Bytes of the adapter's weights, beside the frozen ones. 0 for a full fine-tune, whose weights are all
    trained."""
    gradients: int
    optimizer: int
    gathered: int
    """Weights and gradients that are whole for a moment while workers share a model, that autocast holds in
    half precision, or that are dequantized."""
    activations: int
    head: int
    """Logits of one chunk, and the gradient of the output layer."""
    runtime: int
    """The process itself: libraries, the device's context, communication buffers; on a CPU also what its
    allocator keeps of memory that was freed."""

    @property
    def total(self) -> int:
        return sum(self.model_dump().values())


class Footprint(FrozenModel):
    """What a plan is expected to take."""

    pool: Pool
    form: WeightsForm
    """What the tuned model is served as."""
    device: DeviceMemory
    host_bytes: int
    """Memory of each node, over all its workers."""
    resume_state_bytes: int
    """A checkpoint from which the run can be resumed, in storage."""
    served_bytes: int
    """The weights that serving loads, in storage."""


class Plan(FrozenModel):
    num_workers: int = 1
    parallelism: Parallelism = "single"
    activation_checkpointing: ActivationCheckpointing | Literal["auto"] = "auto"
    """`auto` only without a footprint: then each worker decides once it has loaded the model."""
    microbatch_tokens: int = MICROBATCH_TOKENS
    step_tokens: int = 0
    """Tokens that a step should have, so that every device has enough to do. An automatic batch size follows
    it."""
    footprint: Footprint | None = None
    """None if the base's shape or the devices are not known."""

    @property
    def pool_name(self) -> str | None:
        """None for any pool."""
        return None if self.footprint is None else self.footprint.pool.name
