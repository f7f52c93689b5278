"""Bases get the engine and the fewest GPUs that serve them; what fits nowhere is refused with the numbers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.errors import EngineStartFailed
from cluster.contracts.model_shape import ModelShape
from cluster.contracts.serving_plan import ServingPool, VllmPlan
from cluster.planning.serving import (
    CONTEXT_SHARE,
    LEAST_CONTEXT,
    MEMORY_SHARE,
    ServingOptions,
    plan_serving,
)
from cluster.planning.shapes import shape_of

GB = 10**9
SIZES = {"0.1B": (768, 3072, 8), "8B": (4096, 14336, 32), "70B": (8192, 28672, 80)}
AUTO = ServingOptions()


def base(alias: str = "base", **changes: Any) -> BaseSpec:
    fields: dict[str, Any] = {"context_length": 131072, "dtype": "bfloat16"}
    return BaseSpec(alias=alias, source=BuiltinSource(name="tiny"), learning_rates={}, **(fields | changes))


def shape(size: str, *, heads: int | None = None, key_value_heads: int = 8) -> ModelShape:
    hidden, feed_forward, layers = SIZES[size]
    found = shape_of(
        {
            "model_type": "llama",
            "hidden_size": hidden,
            "intermediate_size": feed_forward,
            "num_hidden_layers": layers,
            "num_attention_heads": heads or max(8, hidden // 128),
            "num_key_value_heads": key_value_heads,
            "head_dim": 128,
            "vocab_size": 128256,
            "tie_word_embeddings": False,
        }
    )
    assert found is not None
    return found


def gpus(devices: int, size: int = 80, **more: Any) -> ServingPool:
    return ServingPool.model_validate({"kind": "cuda", "devices": devices, "device_bytes": size * GB, **more})


def vllm(size: str, *pools: ServingPool, options: ServingOptions = AUTO, **changes: Any) -> VllmPlan:
    plan = plan_serving(base(**changes), shape(size), pools, options)
    assert plan.engine == "vllm"
    assert plan.vllm is not None
    return plan.vllm


def test_8b_has_its_whole_context_and_32_adapters_on_one_gpu_of_80_gb() -> None:
    plan = vllm("8B", gpus(1))
    assert (plan.tensor_parallel_size, plan.max_loras, plan.max_model_len) == (1, 32, 131072)
    assert plan.max_num_seqs >= 128


@pytest.mark.parametrize("devices", [4, 8])
def test_70b_takes_four_gpus_of_80_gb_and_has_room_for_adapters(devices: int) -> None:
    plan = vllm("70B", gpus(devices))
    assert (plan.tensor_parallel_size, plan.max_model_len) == (4, 131072)
    assert plan.max_loras >= 4


def test_larger_gpus_share_a_model_among_fewer() -> None:
    assert vllm("70B", gpus(8, 141)).tensor_parallel_size == 2


def test_a_whole_context_is_worth_a_second_gpu_and_without_one_the_context_is_cut() -> None:
    assert vllm("8B", gpus(2, 24)).tensor_parallel_size == 2
    cut = vllm("8B", gpus(1, 24))
    assert LEAST_CONTEXT <= cut.max_model_len < 131072
    assert vllm("8B", gpus(1, 24), context_length=8192).max_model_len == 8192


@pytest.mark.parametrize(("devices", "size"), [(1, 24), (2, 24), (1, 48)])
def test_an_estimate_that_is_200_mb_too_low_leaves_room_for_the_context(devices: int, size: int) -> None:
    plan = vllm("8B", gpus(devices, size))
    assert plan.memory is not None
    token = 32 * 2 * 8 * 128 * 2 // plan.tensor_parallel_size
    assert plan.max_model_len * token <= plan.memory.key_values - 200_000_000


GPT_OSS_20B = {
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 24,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 201088,
    "tie_word_embeddings": False,
}
QWEN_3_30B_A3B = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "moe_intermediate_size": 768,
    "intermediate_size": 6144,
    "num_hidden_layers": 48,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}
NEMOTRON_3_NANO = {
    "model_type": "nemotron_h",
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
    "hidden_size": 2688,
    "intermediate_size": 1856,
    "moe_intermediate_size": 1856,
    "moe_shared_expert_intermediate_size": 3712,
    "n_routed_experts": 128,
    "num_experts_per_tok": 6,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "mamba_num_heads": 64,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "vocab_size": 131072,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize(
    ("config", "layers", "whole", "shared"),
    [
        # Experts x (pairs of matrices that see hidden states x their width, and those that see units).
        (GPT_OSS_20B, 24, 32 * 2 * 2880, 32 * 3 * 2880),
        (QWEN_3_30B_A3B, 48, 128 * 3 * 2048, 128 * 3 * 768),
        (NEMOTRON_3_NANO, 23, 128 * 2 * 2688, 128 * 2 * 1856),
    ],
    ids=["gpt_oss", "qwen3_moe", "nemotron_h"],
)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_slot_has_the_matrices_of_all_experts_whether_or_not_adapters_name_them(
    config: dict[str, Any], layers: int, whole: int, shared: int, devices: int
) -> None:
    """The buffers of FusedMoEWithLoRA and FusedMoE3DWithLoRA in vLLM 0.32."""
    # Only so many devices have room for the whole context.
    pool, options = gpus(devices, 80 if devices == 2 else 141), ServingOptions(batch_adapters=1)
    plan = plan_serving(base(context_length=4096), shape_of(config), [pool], options).vllm
    assert plan is not None
    assert plan.memory is not None
    count = plan.tensor_parallel_size
    experts = 64 * 2 * layers * (whole + shared // count)
    # Beside those of attention, embeddings and head, which are small.
    assert experts < plan.memory.adapters < 1.3 * experts


def test_gpt_oss_20b_has_as_many_adapters_on_80_gb_as_there_is_room_for() -> None:
    found = shape_of(GPT_OSS_20B)
    plan = plan_serving(base(), found, [gpus(1)], AUTO, is_quantized=True, stored_bytes=14 * GB).vllm
    assert plan is not None
    assert plan.memory is not None
    # 1.4 GB each for the experts alone.
    assert 4 <= plan.max_loras < 10
    assert plan.max_loras * 1_415_577_600 < plan.memory.adapters


def test_what_fits_nowhere_is_refused_with_the_numbers() -> None:
    with pytest.raises(EngineStartFailed) as refused:
        vllm("70B", gpus(2), gpus(1, 141), alias="big")
    assert refused.value.message == (
        "Serving big needs 4 x 44 GB of device memory (weights 35.3, runtime 2.5, and 10% to spare), and the "
        "largest node for serving has 2 x 80 GB."
    )
    assert (refused.value.code, refused.value.cause) == ("engine_start_failed", "does_not_fit")


def test_a_later_pool_is_taken_if_the_first_has_no_room() -> None:
    assert vllm("70B", gpus(1), gpus(8, name="large")).pool.name == "large"


def test_devices_share_heads_evenly() -> None:
    # Twelve heads of queries and two of keys and values, which three devices could not share.
    plan = plan_serving(base(), shape("70B", heads=12, key_value_heads=2), [gpus(3)], AUTO)
    assert plan.vllm is not None
    assert plan.vllm.tensor_parallel_size == 2


@pytest.mark.parametrize(
    ("size", "changes", "pools", "chosen", "engine"),
    [
        ("8B", {}, [gpus(1)], "auto", "vllm"),
        ("8B", {}, [], "auto", "embedded"),
        ("0.1B", {}, [gpus(1)], "auto", "embedded"),
        ("0.1B", {}, [gpus(1)], "vllm", "vllm"),
        ("0.1B", {"engine": "vllm"}, [gpus(1)], "embedded", "vllm"),
        ("8B", {"engine": "embedded"}, [gpus(1)], "vllm", "embedded"),
        ("8B", {"qlora_served_on": "four_bits"}, [gpus(1)], "auto", "embedded"),
        ("8B", {"architecture": "encoder"}, [gpus(1)], "vllm", "embedded"),
    ],
)
def test_the_catalogue_decides_then_the_installation_then_the_rule(
    size: str, changes: dict[str, Any], pools: list[ServingPool], chosen: Any, engine: str
) -> None:
    plan = plan_serving(base(**changes), shape(size), pools, ServingOptions(engine=chosen))
    assert plan.engine == engine
    assert plan.reason


def test_vllm_without_gpus_for_serving_is_refused_and_not_replaced() -> None:
    with pytest.raises(EngineStartFailed, match="TUNERY_SERVING_POOLS names no GPUs"):
        plan_serving(base(engine="vllm"), shape("8B"), [], AUTO)


def test_the_operators_sizes_are_followed() -> None:
    options = ServingOptions(adapters=100, lora_rank=16, slots=48, batch_adapters=20)
    plan = vllm("8B", gpus(1), options=options)
    assert (plan.max_loras, plan.max_lora_rank, plan.max_num_seqs) == (20, 16, 48)


def test_a_model_of_unknown_shape_takes_one_gpu() -> None:
    plan = plan_serving(base(), None, [gpus(8)], AUTO).vllm
    assert plan is not None
    assert (plan.tensor_parallel_size, plan.memory) == (1, None)


def test_weights_that_are_stored_quantized_take_what_their_files_take() -> None:
    one = [gpus(1)]
    with pytest.raises(EngineStartFailed):
        plan_serving(base(), shape("70B"), one, AUTO)
    stored = plan_serving(base(), shape("70B"), one, AUTO, is_quantized=True, stored_bytes=40 * GB).vllm
    assert stored is not None
    assert stored.memory is not None
    assert (stored.tensor_parallel_size, stored.memory.weights) == (1, 40 * GB)
    with pytest.raises(EngineStartFailed, match=r"weights 17\.5"):
        plan_serving(base(), shape("70B"), [gpus(1, 16)], AUTO, is_quantized=True, stored_bytes=280 * GB)
    unknown = plan_serving(base(), shape("70B"), one, AUTO, is_quantized=True).vllm
    assert unknown is not None
    assert unknown.memory is None


@given(
    size=st.sampled_from(sorted(SIZES)),
    devices=st.integers(1, 16),
    device_gb=st.integers(8, 192),
    context=st.integers(16, 2**20),
    rank=st.sampled_from([8, 16, 64, 256]),
)
def test_a_plan_never_exceeds_its_devices(
    size: str, devices: int, device_gb: int, context: int, rank: int
) -> None:
    pool, options = gpus(devices, device_gb), ServingOptions(engine="vllm", lora_rank=rank)
    model = shape(size)
    try:
        plan = plan_serving(base(context_length=context), model, [pool], options).vllm
    except EngineStartFailed:
        return
    assert plan is not None
    assert plan.memory is not None
    assert plan.memory.total <= MEMORY_SHARE * pool.bytes_per_worker
    assert min(plan.memory.model_dump().values()) >= 0
    assert plan.tensor_parallel_size <= devices
    assert model.num_heads % plan.tensor_parallel_size == 0
    assert min(LEAST_CONTEXT, context) <= plan.max_model_len <= context
    assert 1 <= plan.max_loras <= options.adapters
    # vLLM refuses to start without room for one sequence.
    token = model.num_layers * model.key_value_size * 2 // min(plan.tensor_parallel_size, 8)
    assert plan.max_model_len * token <= CONTEXT_SHARE * plan.memory.key_values
