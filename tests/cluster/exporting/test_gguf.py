"""GGUF files, read by transformers, whose reader is independent of the writer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.exports import Quantization
from cluster.storage.local import LocalStore
from tests.cluster.exporting.models import adapted, export, logits, plain, stored_model
from tests.tiny_base import make_tiny_base

TOKENS = list(range(6, 46))
_SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "initializer_range": 0.1,
}
# Heads as wide as the reader assumes them to be.
_GEMMA = {**_SIZES, "head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 16}
_ALTERNATING = ["sliding_attention", "full_attention"]
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", _SIZES),
    "llama_biases": ("Llama", {**_SIZES, "attention_bias": True, "mlp_bias": True}),
    "llama3": ("Llama", {**_SIZES, "head_dim": 32, "rope_parameters": _LLAMA3}),
    "mistral": ("Mistral", {**_SIZES, "sliding_window": 64}),
    "qwen2": ("Qwen2", {**_SIZES, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**_SIZES, "head_dim": 128}),
    "gemma": ("Gemma", {**_SIZES, "head_dim": 32}),
    "gemma2": ("Gemma2", {**_GEMMA, "layer_types": _ALTERNATING}),
    "gemma3": ("Gemma3", {**_GEMMA, "num_hidden_layers": 6, "layer_types": None}),
}
"""transformers' names and configurations of the families that llama.cpp computes as transformers does."""


def make_model(name: str, folder: Path, **changes: Any) -> BaseSpec:
    """A random base of the family, with the tests' tokenizer."""
    kind, options = MODELS[name]
    base = make_tiny_base(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sizes = {"vocab_size": len(tokenizer) + 8, "max_position_embeddings": 256, "bos_token_id": None}
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config"
    torch.manual_seed(0)
    made = getattr(transformers, config)(**{**options, **sizes, **ends, **changes})
    model = getattr(transformers, f"{kind}ForCausalLM")(made)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return base


def fields_of(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


@pytest.fixture
def exported(store: LocalStore, tmp_path: Path) -> Callable[..., Path]:
    """Exports a tuned model of the base and returns the file."""

    def run(base: BaseSpec, model: Any, quantization: Quantization = "f16", **options: Any) -> Path:
        weights = stored_model(store, base, model, tmp_path / "mine", **options)
        export(store, base, weights, tmp_path / "gguf", quantization=quantization)
        (path,) = (tmp_path / "gguf").iterdir()
        return path

    return run


@pytest.mark.parametrize(("quantization", "tolerance"), [("f16", 0.002), ("bf16", 0.02), ("q8_0", 0.05)])
def test_an_exported_adapter_computes_what_it_does_on_its_base(
    tmp_path: Path, exported: Callable[..., Path], quantization: Quantization, tolerance: float
) -> None:
    base = make_tiny_base(tmp_path / "base", hidden=64)
    model = adapted(plain(base))
    path = exported(base, model, quantization)
    assert path.name == f"model-{quantization}.gguf"
    found = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    expected = logits(model, TOKENS)
    assert (logits(found, TOKENS) - expected).abs().mean() < tolerance * expected.std()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    own = AutoTokenizer.from_pretrained(base_folder(base))
    text = "The quick brown fox, charged twice!"
    assert tokenizer(text)["input_ids"] == own(text)["input_ids"]
    fields = fields_of(path)
    assert fields["tokenizer.chat_template"] == own.chat_template
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    assert fields["tokenizer.ggml.eos_token_id"] == own.eos_token_id
    assert fields["general.name"] == "ft:tiny:acme::1"


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3"])
def test_every_family_is_written_as_its_reader_expects(
    tmp_path: Path, exported: Callable[..., Path], name: str
) -> None:
    base = make_model(name, tmp_path / "base")
    model = plain(base)
    path = exported(base, model, form="full")
    found = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    expected = logits(model, TOKENS)
    assert (logits(found, TOKENS) - expected).abs().mean() < 0.005 * expected.std()
