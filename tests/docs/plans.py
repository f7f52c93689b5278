"""Tables of plans for models and devices that people have."""

from typing import Any

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.devices import Pool
from cluster.contracts.errors import EngineStartFailed, InvalidRequest
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.model_shape import ModelShape
from cluster.contracts.serving_plan import ServingPool
from cluster.planning.families import FAMILIES
from cluster.planning.memory import Lengths
from cluster.planning.planner import task_of
from cluster.planning.refusals import plan_or_refuse
from cluster.planning.serving import ServingOptions, plan_serving
from cluster.planning.shapes import shape_of
from tests.docs.markdown import code, table

_LLAMA = {"model_type": "llama", "num_key_value_heads": 8, "vocab_size": 128256}
_SIZES = {
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "70B": {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
    },
}
_GPU = {"kind": "cuda", "device_bytes": "80GB"}
_NODE, _NODES = _GPU | {"devices": 8}, _GPU | {"devices": 8, "nodes": 4}
_CASES: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("8B", {}, _GPU | {"devices": 1}),
    ("8B", {"type": "qlora"}, _GPU | {"devices": 1, "device_bytes": "24GB"}),
    ("8B", {"type": "full"}, _NODE),
    ("8B", {"type": "full", "num_workers": 8}, _NODE),
    ("70B", {}, _NODE),
    ("70B", {"type": "qlora"}, _GPU | {"devices": 1}),
    ("70B", {"num_workers": 32}, _NODES),
    ("8B", {"type": "full", "num_workers": 32}, _NODES),
)
_REFUSED: tuple[tuple[str, dict[str, Any], dict[str, Any], int], ...] = (
    ("8B", {"type": "full"}, _GPU | {"devices": 1}, 8192),
    ("8B", {"type": "qlora"}, _GPU | {"devices": 1, "device_bytes": "24GB"}, 131072),
    ("8B", {"type": "full"}, _GPU | {"devices": 1, "device_bytes": "24GB"}, 131072),
    ("70B", {}, _GPU | {"devices": 2}, 8192),
    ("70B", {"type": "full"}, _NODE, 8192),
)
_SERVED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("8B", _GPU | {"devices": 1}),
    ("8B", _GPU | {"devices": 1, "device_bytes": "48GB"}),
    ("8B", _GPU | {"devices": 1, "device_bytes": "24GB"}),
    ("8B", _GPU | {"devices": 2, "device_bytes": "24GB"}),
    ("70B", _NODE),
    ("70B", _NODE | {"device_bytes": "141GB"}),
    ("70B", _GPU | {"devices": 1}),
)
_GB = 1e9


def plans() -> str:
    rows = []
    for size, options, pool in _CASES:
        plan = _planned(size, options, pool, 8192)
        found = plan.footprint
        rows.append(
            (
                f"{size}, {_options(options)}",
                _devices(pool),
                str(plan.num_workers),
                code(plan.parallelism),
                code(plan.activation_checkpointing),
                f"{found.device.total / _GB:.0f}",
                f"{found.host_bytes / _GB:.0f}",
                f"{found.resume_state_bytes / _GB:.1f}",
                f"{found.served_bytes / _GB:.1f}",
            )
        )
    names = ("Job", "Pool", "Workers", "Parallelism", "Activation checkpointing")
    sizes = ("GB a device", "GB a node's host", "Resume state, GB", "Served weights, GB")
    return table((*names, *sizes), rows)


def refusals() -> str:
    rows = []
    for size, options, pool, tokens in _REFUSED:
        try:
            _planned(size, options, pool, tokens)
        except InvalidRequest as error:
            job = f"{size}, {_options(options)}, {tokens:,} tokens"
            rows.append((job, _devices(pool), error.message))
    return table(("Job", "Pool", "Answer"), rows)


def serving() -> str:
    rows = []
    for size, pool in _SERVED:
        base, shape = _base(size), _shape(size)
        try:
            plan = plan_serving(base, shape, [ServingPool.model_validate(pool)], ServingOptions()).vllm
        except EngineStartFailed as error:
            rows.append((size, _devices(pool), error.message, *[""] * 5))
            continue
        assert plan is not None
        assert plan.memory is not None
        rows.append(
            (
                size,
                _devices(pool),
                str(plan.tensor_parallel_size),
                f"{plan.max_model_len:,}",
                str(plan.max_num_seqs),
                str(plan.max_loras),
                f"{plan.memory.weights / _GB:.0f}",
                f"{plan.memory.key_values / _GB:.0f}",
            )
        )
    sizes = ("Weights, GB a GPU", "Keys and values, GB a GPU")
    return table(("Base", "Pool", "GPUs", "Context", "Sequences", "Adapters of rank 64", *sizes), rows)


_ACTIVATIONS = {
    "none": "keeps all activations, which is fastest",
    "full": "computes activations again in the backward pass",
    "offload": "computes activations again, and keeps the rest in the host's memory",
}


def gpu_box() -> str:
    """What `tunery bases plan` prints for 8B on one GPU of 80 GB."""
    pool = _GPU | {"devices": 1}
    plan = plan_serving(_base("8B"), _shape("8B"), [ServingPool.model_validate(pool)], ServingOptions()).vllm
    assert plan is not None
    assert plan.memory is not None
    served = f"{plan.max_num_seqs} sequences and {plan.max_loras} adapters at once"
    rows = [
        ("serving", "1", f"{plan.memory.total / _GB:.0f}", f"context of {plan.max_model_len:,}; {served}")
    ]
    for kind in ("lora", "qlora", "full"):
        try:
            job = _planned("8B", {"type": kind}, pool, 8192)
            rows.append(
                (
                    kind,
                    "1",
                    f"{job.footprint.device.total / _GB:.0f}",
                    _ACTIVATIONS[job.activation_checkpointing],
                )
            )
        except InvalidRequest as error:
            rows.append((kind, "", "", error.message))
    return table(("Type", "GPUs", "GB a GPU", "Details"), rows)


def families() -> str:
    return ", ".join(code(name) for name in sorted(FAMILIES)) + "."


def _planned(size: str, options: dict[str, Any], pool: dict[str, Any], tokens: int) -> Any:
    base = _base(size)
    training = TrainingOptions.model_validate(options)
    task = task_of(_shape(size), base, training, "supervised", Lengths(tokens, tokens))
    return plan_or_refuse(task, training, [Pool.model_validate(pool)], slots=64)


def _base(size: str) -> BaseSpec:
    return BaseSpec(
        alias=size,
        source=BuiltinSource(name="tiny"),
        context_length=131072,
        learning_rates={"lora": 1e-4, "full": 1e-5},
        dtype="bfloat16",
    )


def _shape(size: str) -> ModelShape:
    shape = shape_of(_LLAMA | _SIZES[size])
    assert shape is not None
    return shape


def _options(options: dict[str, Any]) -> str:
    kind = {"lora": "LoRA", "qlora": "QLoRA", "full": "full"}[options.get("type", "lora")]
    workers = options.get("num_workers")
    return kind if workers is None else f"{kind}, {workers} workers"


def _devices(pool: dict[str, Any]) -> str:
    found = Pool.model_validate(pool)
    nodes = f"{found.nodes} nodes of " if found.nodes > 1 else ""
    return f"{nodes}{found.devices} x {found.bytes_per_worker / _GB:.0f} GB"
