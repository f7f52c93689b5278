"""Estimates what a way of running a job takes: memory of devices and nodes, and storage of its
checkpoints."""

from dataclasses import dataclass

from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import Method, TrainingOptions
from cluster.contracts.model_shape import ModelShape
from cluster.contracts.peft_options import PREFIXES
from cluster.contracts.plan import (
    CPU_PASS_TOKENS,
    LEAST_LOSS_ROWS,
    LOSS_LOGITS,
    PAIR_LOGITS,
    SERVED_FILE_BYTES,
    ActivationCheckpointing,
    DeviceMemory,
    Footprint,
    Parallelism,
)
from cluster.planning.activations import Precision, activation_bytes
from cluster.planning.adapters import adapter_rank, adapts_experts, has_magnitudes, trained_weights

_BYTES = {"float32": 4, "bfloat16": 2}
_FOUR_BITS = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes per weight in NF4 with double quantisation: one 8-bit scale for every 64 weights, and one fp32 scale
for every 256 of those scales (arXiv:2305.14314, section 3)."""
_MOMENTS = {"adamw": 8, "adamw_8bit": 2}
"""AdamW's two moments of a weight, in bytes."""
_RUNTIME = {"cuda": 2_000_000_000, "cpu": 380_000_000}
_RETAINED = {"float32": 1.75, "bfloat16": 0.9}
"""Memory that passes on a CPU have freed but that glibc neither returns nor reuses, as a share of the
activations, by the type of the passes. Returning all of it at once would take 45 % more time."""
_PROCESS = 3_000_000_000
"""Host memory of a worker on a GPU."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in tokens."""

    example: int
    """The longest example, with both answers of a pair."""
    sequence: int
    """The longest sequence."""


@dataclass(frozen=True, slots=True)
class Task:
    """The training that is planned."""

    shape: ModelShape
    base: BaseSpec
    options: TrainingOptions
    method: Method
    lengths: Lengths


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run it."""

    num_workers: int
    parallelism: Parallelism
    activation_checkpointing: ActivationCheckpointing
    microbatch_tokens: int

    @property
    def is_sharded(self) -> bool:
        return self.parallelism in ("fsdp", "hsdp")


def footprint(task: Task, way: Way, pool: Pool) -> Footprint:
    options, trained = task.options, trained_weights(task.shape, task.options)
    device = _device(task, way, pool, trained)
    moments = _MOMENTS[options.optimizer] * trained
    on_node = min(way.num_workers, pool.devices)
    # Each worker's part of a checkpoint is copied in its own host memory before it is written.
    copied = (4 * trained + moments) // _shards(way, pool) if way.is_sharded else 4 * trained + moments
    form = _form(task)
    served = task.shape.parameters * _BYTES[task.base.dtype] if form == "full" else 4 * trained
    if pool.kind == "cpu":
        host = on_node * device.total
    else:
        # One file of served weights is written while the next one is gathered.
        files = min(2 * SERVED_FILE_BYTES, served) if form == "full" else 0
        host = on_node * (_PROCESS + copied + files + _offloaded(task, way))
    return Footprint(
        pool=pool,
        form=form,
        device=device,
        host_bytes=host,
        resume_state_bytes=4 * trained + moments,
        served_bytes=served,
    )


def _device(task: Task, way: Way, pool: Pool, trained: int) -> DeviceMemory:
    shape, options = task.shape, task.options
    is_full, shards = options.type == "full", _shards(way, pool)
    precision = _precision(task, way)
    number = 4 if is_full else _BYTES[task.base.dtype]
    linear = shape.linear_weights * (_FOUR_BITS if options.type == "qlora" else number)
    weights = linear + (shape.parameters - shape.linear_weights) * number
    tokens = _pass_tokens(task, way, pool)
    # Workers that share a model keep an adapter's gradients until they add them up, once per step.
    gradients = 4 * trained // (shards if is_full else 1)
    activations = activation_bytes(
        shape,
        precision,
        is_full=is_full,
        rank=adapter_rank(options),
        trains_experts=is_full or adapts_experts(shape, options),
        is_checkpointed=way.activation_checkpointing != "none",
        is_offloaded=way.activation_checkpointing == "offload" and pool.kind == "cuda",
        tokens=tokens,
        longest=min(task.lengths.sequence, tokens),
    )
    retained = int(_RETAINED[task.base.dtype] * activations) if pool.kind == "cpu" else 0
    return DeviceMemory(
        weights=int(weights / shards),
        trained_weights=0 if is_full else 4 * trained // shards,
        gradients=gradients,
        optimizer=_MOMENTS[options.optimizer] * trained // shards,
        gathered=_gathered(task, way, precision),
        activations=activations + _changed_experts(task, way),
        head=_head(task, precision, tokens),
        runtime=_RUNTIME[pool.kind] + retained,
    )


def _shards(way: Way, pool: Pool) -> int:
    if not way.is_sharded:
        return 1
    return way.num_workers if way.parallelism == "fsdp" else min(way.num_workers, pool.devices)


def _precision(task: Task, way: Way) -> Precision:
    compute = _BYTES[task.base.dtype]
    is_full = task.options.type == "full"
    # Weights in fp32 make hidden states in fp32, unless they are gathered in the type of the products.
    stream = 4 if is_full and not way.is_sharded else compute
    return Precision(stream, compute, is_autocast=compute < 4 and not way.is_sharded)


def _pass_tokens(task: Task, way: Way, pool: Pool) -> int:
    limit = min(way.microbatch_tokens, CPU_PASS_TOKENS) if pool.kind == "cpu" else way.microbatch_tokens
    return max(limit, task.lengths.example)


def _gathered(task: Task, way: Way, precision: Precision) -> int:
    shape, is_full = task.shape, task.options.type == "full"
    if not way.is_sharded:
        if is_full:
            return shape.parameters * precision.compute if precision.is_autocast else 0
        return _one_layer(task, precision)
    block, outer = shape.in_blocks // shape.num_layers, shape.embeddings + shape.head
    # The next block arrives while one is computed, and a third copy receives data from the network.
    weights = (3 * block + outer) * precision.compute
    # Whole gradients are held in the type of the products, and then in fp32 to be added up.
    return weights + (block + outer) * (precision.compute + 4) if is_full else weights


def _one_layer(task: Task, precision: Precision) -> int:
    """Returns the size of the largest layer's weights as QLoRA dequantizes them, or as DoRA adds the adapter
    to them in fp32."""
    largest = max(layer.outputs * layer.inputs for layer in task.shape.linear)
    is_quantized = task.options.type == "qlora"
    return largest * (2 * 4 * has_magnitudes(task.options) + precision.compute * is_quantized)


def _changed_experts(task: Task, way: Way) -> int:
    """Returns the size of the experts' weights as an adapter changes them, which PEFT computes whole
    (`_LoraFactorsProxy`), with the adapter in the same type, and the gradient of one layer. Every worker
    keeps the changed weights for its backward pass: those of all layers, or only of one layer if layers are
    computed again."""
    shape, options = task.shape, task.options
    if not adapts_experts(shape, options):
        return 0
    number = _BYTES[task.base.dtype]
    changed = number * shape.experts
    if number < 4:
        changed += number * adapter_rank(options) * shape.expert_adapter
    layer = changed // shape.num_layers
    return (layer if way.activation_checkpointing != "none" else changed) + layer


def _head(task: Task, precision: Precision, tokens: int) -> int:
    shape, is_full = task.shape, task.options.type == "full"
    if task.base.architecture == "encoder":
        return 0
    if task.options.peft_type in PREFIXES:
        # The model's own forward computes all logits. The loss keeps log-probabilities in fp32, and has two
        # gradients of that size at once.
        return tokens * shape.vocab_size * 3 * 4
    is_pairs = task.method == "dpo"
    rows = min(tokens, max(LEAST_LOSS_ROWS, (PAIR_LOGITS if is_pairs else LOSS_LOGITS) // shape.vocab_size))
    logits = rows * shape.vocab_size * ((3 * 4) if is_pairs else (4 + 2 * precision.compute))
    weights = shape.vocab_size * shape.hidden_size
    # The sum over chunks in fp32, the chunk's own gradient, and the weights in the type of the products.
    gradient = weights * (4 + 4 + (precision.compute if precision.is_autocast else 0)) if is_full else 0
    return logits + gradient


def _offloaded(task: Task, way: Way) -> int:
    if way.activation_checkpointing != "offload":
        return 0
    tokens = max(way.microbatch_tokens, task.lengths.example)
    of_layer = tokens * task.shape.hidden_size * _precision(task, way).stream
    # torch rounds page-locked memory up to a power of two.
    return (1 << (of_layer - 1).bit_length()) * task.shape.num_layers


def _form(task: Task) -> WeightsForm:
    """Returns the expected form of serving. The trainer decides once it has seen the model's layers."""
    options = task.options
    if options.peft_type in PREFIXES:
        return "prefix"
    is_merged = options.type == "full" or options.use_dora or task.base.architecture == "encoder"
    is_merged = is_merged or (options.type == "peft" and options.peft_type != "LORA")
    if is_merged or adapts_experts(task.shape, options):
        return "full"
    return "qlora" if options.type == "qlora" and task.base.qlora_served_on == "four_bits" else "lora"
