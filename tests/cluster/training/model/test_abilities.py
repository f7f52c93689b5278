"""What is found on a model's first layers holds for all of them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Qwen3MoeConfig

from cluster.bases.layer_kinds import layer_kinds
from cluster.training.model.abilities import Abilities, cached, find_abilities
from cluster.training.model.pretrained import load_pretrained

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
SLIDING = ["sliding_attention"] * 3 + ["full_attention"]
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "mlp_only_layers": [0, 1, 2],
}


@pytest.mark.parametrize(
    ("config", "n_needed"),
    [
        (LlamaConfig(**SIZES, num_hidden_layers=6), 2),
        (Gemma3TextConfig(**SIZES, num_hidden_layers=8, layer_types=SLIDING * 2, sliding_window=4), 4),
        (Qwen3MoeConfig(**SIZES, num_hidden_layers=6, **EXPERTS), 4),
        (LlamaConfig(**SIZES, num_hidden_layers=1), 1),
    ],
)
def test_one_layer_of_each_sort_stands_for_the_whole_model(
    config: Any, n_needed: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    whole = AutoModelForCausalLM.from_config(config)
    whole.save_pretrained(tmp_path)
    loaded: list[int] = []

    def load(shape: Any) -> Any:
        loaded.append(shape.num_hidden_layers)
        return load_pretrained(AutoModelForCausalLM, tmp_path, torch.float32, config=shape)

    found = find_abilities(tmp_path, load, nullcontext, packing=True)
    assert loaded == [n_needed]
    assert (found.layout, found.attention, found.is_head_apart) == ("packed", "tunery_segments", True)
    assert found.kinds == layer_kinds(whole)


def test_what_was_found_is_kept_for_the_same_base_and_circumstances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_CACHE_DIR", str(tmp_path / "cache"))
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"weights")
    calls: list[None] = []

    def find() -> Abilities:
        calls.append(None)
        return Abilities(
            layout="packed", attention="sdpa", is_head_apart=True, kinds={"a": "Linear"}, notes=[]
        )

    def ask(*circumstances: str) -> Abilities:
        return cached(find, base, torch.device("cpu"), *circumstances)

    assert ask("lora") == ask("lora") == find()
    assert len(calls) == 2
    ask("full")
    (base / "model.safetensors").write_bytes(b"other weights")
    ask("lora")
    assert len(calls) == 4
    for file in (tmp_path / "cache").rglob("*.json"):
        file.write_text("{")
    ask("lora")
    assert len(calls) == 5
