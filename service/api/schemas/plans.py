"""A plan: how a job runs, and what that is expected to take."""

from typing import Literal

from service.api.schemas.base import Answer


class PlannedMemory(Answer):
    """Bytes on each device at the peak of a step: of a GPU, or of the worker's process on a CPU."""

    weights: int
    """Bytes of the weights that this device holds: its shard if they are sharded."""
    trained_weights: int
    """Bytes of the adapter's weights. 0 for a full fine-tune, whose weights are all trained."""
    gradients: int
    optimizer: int
    gathered: int
    """Weights and gradients that are temporarily gathered in full while workers share a model, copied in half
    precision, or dequantized."""
    activations: int
    head: int
    """Logits of one chunk, and the gradient of the output layer."""
    runtime: int
    """The process itself: libraries, the device's context, communication and, on a CPU, freed memory that it
    keeps."""
    total: int


class WorkersPlan(Answer):
    """How an elastic job runs with one number of workers."""

    pool: str | None
    """Name of the pool. Null for any pool."""
    num_workers: int
    parallelism: Literal["single", "ddp", "fsdp", "hsdp"]
    activation_checkpointing: Literal["auto", "none", "full", "offload"]
    microbatch_tokens: int
    """Tokens of one forward pass of each worker. The batch is the same with any number of workers."""


class JobWorkers(Answer):
    """The workers of an elastic job."""

    current: int | None
    """Current number of workers. Null while the job holds no devices."""
    min: int
    max: int
    """The least and the greatest number of workers that fit and divide the batch."""
    plans: list[WorkersPlan]
    """A plan for each number of workers in each pool."""


class JobPlan(Answer):
    """How the job runs: the resolved values of every `auto` in `training` that concerns devices."""

    num_workers: int
    """Number of training processes, each with its own device."""
    parallelism: Literal["single", "ddp", "fsdp", "hsdp"]
    activation_checkpointing: Literal["auto", "none", "full", "offload"]
    """`auto` only if the base's shape or the devices are unknown, in which case the workers decide."""
    microbatch_tokens: int
    """Tokens of one forward pass."""
    max_seq_length: int
    pool: str | None
    """The pool of devices that the job was planned for. Null, like all fields below, if the base's shape or
    the devices are unknown."""
    device: Literal["cuda", "cpu"] | None
    served_as: Literal["lora", "qlora", "prefix", "full"] | None
    """The form in which the tuned model is served: an adapter on its base, or a separate model."""
    device_memory: PlannedMemory | None
    host_memory_bytes: int | None
    """Host memory in bytes on each node, for all of its workers."""
    resume_state_bytes: int | None
    """Size in storage of a checkpoint from which the run can be resumed, in bytes."""
    served_bytes: int | None
    """Size of the tuned model's weights in storage, in bytes."""
