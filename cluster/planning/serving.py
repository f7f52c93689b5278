"""Decides how a base is served: by which engine, on how many devices, and how vLLM divides their memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import EngineStartFailed
from cluster.contracts.model_shape import ModelShape
from cluster.contracts.serving_plan import (
    LEAST_CONTEXT,
    EngineChoice,
    EngineName,
    ServingMemory,
    ServingPlan,
    ServingPool,
    VllmPlan,
)
from cluster.planning.key_values import KeyValues
from cluster.planning.wording import need, size

SMALL_BYTES = 1_000_000_000
"""Maximum weights that the embedded engine serves on CPUs, which read them dozens of times per second. vLLM
would reserve a whole GPU for them."""
MEMORY_SHARE = 0.9
"""Part of a GPU's memory that vLLM allocates when it starts. The rest is for what its profile of a pass
leaves out: the logits of prompts that are scored."""
CONTEXT_SHARE = 0.9
"""Part of the KV cache memory that one whole context may take. The rest is for errors of the estimate: vLLM
measures what is left, and does not start if there is no room for a context."""

_BYTES = {"float32": 4, "bfloat16": 2}
_RUNTIME = 2_500_000_000
_ADAPTER_SHARE = 0.25
"""Share of the memory beside weights and activations that is for adapters. The rest is for keys and
values."""
_SCORING_BYTES = 8
"""Bytes of a token's logit in fp32, and of its log-probability."""
_PASS_TOKENS = (8192, 4096, 2048, 1024, 512)
_LEAST_ADAPTERS = 4
"""Adapters beyond this number are given up if a whole context does not fit beside them."""
_MOST_SEQUENCES = 256
_LEAST_SEQUENCES = 8
_SEQUENCE_TOKENS = 2048
"""Average context that sequences are assumed to use, which determines how many run at once."""
_UNKNOWN_SEQUENCES, _UNKNOWN_ADAPTERS, _UNKNOWN_PASS = 64, 8, 2048
"""Limits for a model whose shape is not known."""


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """The operator's settings. None leaves a size to the planner."""

    engine: EngineChoice = "auto"
    adapters: int = 32
    """Maximum number of adapters, in the host's memory and on the device."""
    lora_rank: int = 64
    slots: int | None = None
    batch_adapters: int | None = None


def plan_serving(
    base: BaseSpec,
    shape: ModelShape | None,
    pools: Sequence[ServingPool],
    options: ServingOptions,
    *,
    is_quantized: bool = False,
    stored_bytes: int | None = None,
) -> ServingPlan:
    """`shape` is None if the base's family is not known: then nothing is known to be too large, and it takes
    one device. The same goes for a base whose weights are stored quantized if their `stored_bytes`, in all
    files together, are not known; other bases take what their type takes.

    Raises EngineStartFailed (`does_not_fit`) with the numbers if vLLM is wanted, and no pool has room."""
    engine, reason = _engine(base, shape, pools, options.engine)
    if engine == "embedded":
        return ServingPlan(engine=engine, reason=reason)
    gpus = [pool for pool in pools if pool.kind == "cuda"]
    if not gpus:
        raise EngineStartFailed(
            f"{base.alias} is to be served by vLLM, but TUNERY_SERVING_POOLS names no GPUs.",
            cause="does_not_fit",
        )
    weights = stored_bytes if is_quantized or shape is None else weights_bytes(base, shape)
    if shape is None or weights is None:
        return ServingPlan(engine=engine, reason=reason, vllm=_unplanned(base, gpus[0], options))
    fitting = (plan for pool in gpus if (plan := _on(pool, base, shape, weights, options)) is not None)
    if (found := next(fitting, None)) is None:
        raise _refusal(base, shape, weights, gpus, options)
    return ServingPlan(engine=engine, reason=reason, vllm=found)


def weights_bytes(base: BaseSpec, shape: ModelShape) -> int:
    return shape.parameters * _BYTES[base.dtype]


def _engine(
    base: BaseSpec, shape: ModelShape | None, pools: Sequence[ServingPool], chosen: EngineChoice
) -> tuple[EngineName, str]:
    """Returns the engine, and the reason for it."""
    if base.architecture == "encoder":
        return "embedded", "encoders run in the serving process"
    if base.engine != "auto":
        return base.engine, "the catalogue says so"
    if chosen != "auto":
        return chosen, f"TUNERY_ENGINE is {chosen}"
    if base.qlora_served_on == "four_bits":
        return "embedded", "vLLM serves no QLoRA adapters on a base in 4 bits"
    if not any(pool.kind == "cuda" for pool in pools):
        return "embedded", "there are no GPUs for serving"
    if shape is not None and weights_bytes(base, shape) <= SMALL_BYTES:
        return "embedded", f"its weights take no more than {size(SMALL_BYTES)}"
    return "vllm", "there are GPUs for serving"


@dataclass(frozen=True, slots=True)
class _Fit:
    """What vLLM takes on each of several devices, with as many adapters as fit."""

    plan: VllmPlan
    memory: ServingMemory
    cache: KeyValues
    tokens: int
    """Number of tokens of one sequence for which its share of the keys and values has room."""


def _on(
    pool: ServingPool, base: BaseSpec, shape: ModelShape, weights: int, options: ServingOptions
) -> VllmPlan | None:
    """Returns the plan for the fewest devices that hold a whole context, or for those that hold most of
    one."""
    fits = [_fit(pool, count, base, shape, weights, options) for count in _counts(pool.devices, shape)]
    for fit in fits:
        if fit.tokens >= base.context_length:
            return fit.plan
    longest = max(fits, key=lambda fit: fit.tokens)
    return longest.plan if longest.tokens >= min(LEAST_CONTEXT, base.context_length) else None


def _counts(devices: int, shape: ModelShape) -> Iterator[int]:
    """Yields the numbers of devices that can share the model with equally many heads on each."""
    for count in range(1, devices + 1):
        shares_cache = all(kind.heads % count == 0 or count % kind.heads == 0 for kind in shape.cache)
        if shape.num_heads % count == 0 and shares_cache and shape.feed_forward_size % count == 0:
            yield count


def _fit(
    pool: ServingPool, count: int, base: BaseSpec, shape: ModelShape, weights: int, options: ServingOptions
) -> _Fit:
    """Returns what vLLM takes on `count` devices. `weights` are the bytes of the whole model."""
    number = _BYTES[base.dtype]
    sequences = options.slots or _MOST_SEQUENCES
    pass_tokens = _pass_tokens(pool, shape, number)
    rest = shape.rest * number
    share = (weights - rest) // count + rest
    activations = (
        pass_tokens
        * number
        * (
            4 * shape.hidden_size
            + (shape.query_size + shape.key_value_size + 2 * shape.feed_forward_size) // count
        )
        + sequences * shape.vocab_size * _SCORING_BYTES
    )
    left = int(MEMORY_SHARE * pool.bytes_per_worker) - share - activations - _RUNTIME
    slot = _adapter_slot(shape, options.lora_rank, count) * number
    cache = KeyValues(shape, count, number, pass_tokens)
    room = int(max(0, left) * _ADAPTER_SHARE) // slot
    beside_context = int(left - cache.bytes(base.context_length) / CONTEXT_SHARE) // slot
    room = min(room, max(beside_context, _LEAST_ADAPTERS))
    adapters = options.batch_adapters or max(1, min(options.adapters, room))
    key_values = left - adapters * slot
    tokens = cache.longest(int(CONTEXT_SHARE * key_values), most=base.context_length)
    memory = ServingMemory(
        weights=share,
        adapters=adapters * slot,
        activations=activations,
        runtime=_RUNTIME,
        key_values=key_values,
    )
    together = key_values // cache.bytes(_SEQUENCE_TOKENS)
    running = max(_LEAST_SEQUENCES, min(_MOST_SEQUENCES, together // 8 * 8))
    plan = VllmPlan(
        pool=pool,
        tensor_parallel_size=count,
        max_model_len=_context(base, tokens),
        max_num_seqs=options.slots or running,
        max_num_batched_tokens=pass_tokens,
        max_loras=adapters,
        max_lora_rank=options.lora_rank,
        gpu_memory_utilization=MEMORY_SHARE,
        memory=memory,
    )
    return _Fit(plan, memory, cache, tokens)


def _pass_tokens(pool: ServingPool, shape: ModelShape, number: int) -> int:
    """Returns the largest pass whose logits, if all its tokens are scored, fit beside what vLLM allocates."""
    spare = (1 - MEMORY_SHARE) * pool.bytes_per_worker
    fitting = (
        tokens for tokens in _PASS_TOKENS if tokens * shape.vocab_size * (_SCORING_BYTES + number) <= spare
    )
    return next(fitting, _PASS_TOKENS[-1])


def _adapter_slot(shape: ModelShape, rank: int, count: int) -> int:
    """Returns the number of elements in one adapter's slot on one device. vLLM shards one of the two matrices
    of a layer, and every slot has room for adapters of experts, embeddings and head."""
    layers = sum((layer.inputs + layer.outputs) * layer.count for layer in shape.linear)
    ends = 2 * (shape.vocab_size + shape.hidden_size)
    experts = shape.expert_slot_whole + shape.expert_slot_shared // count
    return rank * (layers * (count + 1) // (2 * count) + experts + ends)


def _context(base: BaseSpec, tokens: int) -> int:
    if tokens >= base.context_length:
        return base.context_length
    return max(LEAST_CONTEXT, tokens // 256 * 256)


def _unplanned(base: BaseSpec, pool: ServingPool, options: ServingOptions) -> VllmPlan:
    return VllmPlan(
        pool=pool,
        tensor_parallel_size=1,
        max_model_len=base.context_length,
        max_num_seqs=options.slots or _UNKNOWN_SEQUENCES,
        max_num_batched_tokens=_UNKNOWN_PASS,
        max_loras=options.batch_adapters or min(options.adapters, _UNKNOWN_ADAPTERS),
        max_lora_rank=options.lora_rank,
        gpu_memory_utilization=MEMORY_SHARE,
        memory=None,
    )


def _refusal(
    base: BaseSpec, shape: ModelShape, weights: int, pools: Sequence[ServingPool], options: ServingOptions
) -> EngineStartFailed:
    largest = max(pools, key=lambda pool: pool.devices * pool.bytes_per_worker)
    count, needed = _needed(largest, base, shape, weights, options)
    return EngineStartFailed(
        f"Serving {base.alias} needs {need(count, needed, usable=MEMORY_SHARE)}, and the largest node for "
        f"serving has {largest.devices} x {size(largest.bytes_per_worker)}.",
        cause="does_not_fit",
    )


def _needed(
    pool: ServingPool, base: BaseSpec, shape: ModelShape, weights: int, options: ServingOptions
) -> tuple[int, dict[str, int]]:
    """Returns on how many devices of this size the model would fit, or the maximum that can share it, and
    what it takes on each with one adapter and the shortest context."""
    least = replace(options, batch_adapters=options.batch_adapters or 1)
    counts = _counts(max(16, pool.devices), shape)
    fits = [_fit(pool, count, base, shape, weights, least) for count in counts]
    shortest = min(LEAST_CONTEXT, base.context_length)
    fit = next((each for each in fits if each.tokens >= shortest), fits[-1])
    needed = fit.memory.model_dump() | {"key_values": int(fit.cache.bytes(shortest) / CONTEXT_SHARE)}
    return fit.plan.tensor_parallel_size, needed
