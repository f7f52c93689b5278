"""The shape of a model, from its configuration, has the weights that transformers' own model has."""

import json
from collections import Counter
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers.pytorch_utils import Conv1D

from cluster.planning.shapes import shape_of
from tests.families import FAMILIES, LATENT
from tests.family_support import ENCODERS

COMMON = {
    "vocab_size": 352,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
GROUPED = {**SIZES, "num_key_value_heads": 2}
PROJECTION = "per_layer_model_projection"
"""Of Gemma 3n and 4: a linear layer outside of the blocks that adapters change, too."""
MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama_with_biases": ("Llama", {**GROUPED, "attention_bias": True, "mlp_bias": True}),
    "llama_tied": ("Llama", {**GROUPED, "tie_word_embeddings": True}),
    "llama_without_groups": ("Llama", {**SIZES, "head_dim": 16}),
    "gemma": ("Gemma", {**GROUPED, "head_dim": 8}),
    "olmo2": ("Olmo2", GROUPED),
    "smollm3": ("SmolLM3", GROUPED),
    "phi3": ("Phi3", GROUPED),
    "mixtral": ("Mixtral", {**GROUPED, "num_local_experts": 4}),
    "qwen2_moe": (
        "Qwen2Moe",
        {
            **GROUPED,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 24,
            "decoder_sparse_step": 2,
        },
    ),
    "deepseek_v2": ("DeepseekV2", LATENT),
    "gemma4_with_experts": (
        "Gemma4Text",
        {
            **GROUPED,
            "head_dim": 8,
            "enable_moe_block": True,
            "num_experts": 4,
            "top_k_experts": 2,
            "moe_intermediate_size": 16,
            "attention_k_eq_v": True,
            "num_global_key_value_heads": 1,
            "num_kv_shared_layers": 1,
            "use_double_wide_mlp": True,
            "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        },
    ),
    "nemotron_h_with_experts": (
        "NemotronH",
        {
            **GROUPED,
            "head_dim": 8,
            "hybrid_override_pattern": "ME*-",
            "mamba_num_heads": 8,
            "mamba_head_dim": 8,
            "ssm_state_size": 8,
            "n_groups": 2,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "moe_latent_size": 12,
            "moe_shared_expert_intermediate_size": 24,
        },
    ),
}


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        if name in MORE:
            prefix, sizes = MORE[name]
            config = getattr(transformers, f"{prefix}Config")(**{**COMMON, **sizes})
            return getattr(transformers, f"{prefix.removesuffix('Text')}ForCausalLM")(config)
        model = FAMILIES[name](dict(COMMON))
        if name == "gemma3_images":
            model.model.vision_tower = model.model.multi_modal_projector = None
        if name in ENCODERS:
            return transformers.AutoModelForSequenceClassification.from_config(model.config)
        return model


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
def test_a_family_has_the_weights_of_transformers_own_model(name: str) -> None:
    model = on_meta(name)
    classes = sum(weight.numel() for key, weight in model.named_parameters() if key.startswith("classifier."))
    shape = shape_of(json.loads(model.config.to_json_string()))
    assert shape is not None
    assert shape.parameters == sum(weight.numel() for weight in model.parameters()) - classes

    found: Counter[tuple[int, int]] = Counter()
    for key, module in model.named_modules():
        is_inside = any(part.isdigit() for part in key.split(".")) or key == "model." + PROJECTION
        if isinstance(module, nn.Linear | Conv1D) and is_inside:
            outputs, inputs = module.weight.shape
            found[(outputs, inputs) if isinstance(module, nn.Linear) else (inputs, outputs)] += 1
    expected: Counter[tuple[int, int]] = Counter()
    for each in shape.linear:
        expected[each.outputs, each.inputs] += each.count
    assert found == expected


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        ({"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}, 8.030),
        ({"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80}, 70.554),
    ],
)
def test_llama_3_has_its_published_number_of_parameters(config: dict[str, int], billions: float) -> None:
    fields = {
        "model_type": "llama",
        "num_attention_heads": config["hidden_size"] // 128,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    }
    shape = shape_of(fields | config)
    assert shape is not None
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.001)


def test_a_model_of_text_and_images_has_the_shape_of_its_text_model() -> None:
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
    }
    shape = shape_of({"model_type": "gemma3", "text_config": text, "vision_config": {}})
    assert shape is not None
    assert shape.parameters / 1e9 == pytest.approx(3.88, abs=0.01)


@pytest.mark.parametrize(
    "change", [{"model_type": "unheard_of"}, {"hidden_size": None}, {"hidden_size": "x"}]
)
def test_what_is_not_known_is_not_guessed(change: dict[str, object]) -> None:
    fields = {"model_type": "llama", **GROUPED, "vocab_size": 352}
    assert shape_of(fields) is not None
    assert shape_of(fields | change) is None
