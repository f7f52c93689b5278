"""An adapter is counted as large as PEFT makes it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.planning.adapters import trained_weights
from cluster.planning.shapes import shape_of
from cluster.training.model.adapters import attach
from tests.families import make_family

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("llama", {}),
    ("llama", {"type": "full"}),
    ("llama", {"type": "lora", "r": 3, "target_modules": ["q_proj", "down_proj"]}),
    ("llama", {"target_modules": ["model.layers.1.self_attn.q_proj"]}),
    ("llama", {"use_dora": True}),
    ("llama", {"type": "peft", "peft_config": {"peft_type": "LORA", "target_modules": ["k_proj"]}}),
    ("llama", {"type": "peft", "peft_config": {"peft_type": "LOHA", "r": 4}}),
    ("llama", {"type": "peft", "peft_config": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5}}),
    ("llama", {"type": "peft", "peft_config": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5}}),
    ("gemma3", {}),
    ("gpt2", {}),
    ("falcon_new", {}),
    ("opt", {}),
    ("qwen3_moe", {}),
    ("qwen3_moe", {"type": "peft", "peft_config": {"peft_type": "LOHA", "r": 4}}),
    # Experts that are named are counted with their routers, which an adapter of these does not change.
    ("qwen3_moe", {"target_modules": ["gate", "gate_proj", "up_proj", "down_proj"]}),
    ("gpt_oss", {}),
    ("deepseek_v3", {}),
    ("deepseek_v3", {"target_modules": ["q_b_proj", "kv_b_proj"]}),
    ("qwen3_next", {}),
    ("qwen3_next", {"target_modules": ["q_proj", "out_proj"]}),
    ("gemma3n", {}),
    ("gemma4", {}),
    ("jamba", {}),
    ("falcon_h1", {}),
    ("granitemoehybrid", {}),
    ("nemotron_h", {}),
)


@pytest.mark.parametrize(("family", "options"), CASES, ids=str)
def test_the_adapter_has_the_weights_that_peft_gives_it(
    family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    base = make_family(family, tmp_path)
    training = TrainingOptions.model_validate(options)
    _, config = resolve(Hyperparameters(), training, base, n_examples=40, seed=1)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    if training.type != "full":
        model = attach(model, base, config, total_steps=30)
    shape = shape_of(json.loads((tmp_path / "config.json").read_text()))
    assert shape is not None
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert trained_weights(shape, training) == trained
