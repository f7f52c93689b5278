"""GGUF files, read by transformers, whose reader is independent of the writer."""

import sys
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
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.exports import Quantization
from cluster.exporting.llama_cpp.files import gguf_files
from cluster.exporting.source import open_source
from cluster.storage.local import LocalStore
from tests.cluster.exporting.models import adapted, export, export_request, logits, plain, stored_model
from tests.cluster.exporting.tokenizer_kinds import KINDS, make_tokenizer
from tests.families import make_family
from tests.family_support import EXPERTS, IN_LLAMA_CPP
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_is_named_as_llama_cpp_knows_it(
    tmp_path: Path, exported: Callable[..., Path], kind: str
) -> None:
    tokenizer = make_tokenizer(kind)
    base = make_model("llama", tmp_path / "base", vocab_size=len(tokenizer) + 3)
    tokenizer.save_pretrained(tmp_path / "base")
    fields = fields_of(exported(base, plain(base), form="full"))
    is_sentence_piece = kind in ("llama 2", "gemma")
    assert fields["tokenizer.ggml.model"] == ("llama" if is_sentence_piece else "gpt2")
    assert fields["tokenizer.ggml.pre"] == ("default" if is_sentence_piece else kind)
    assert fields["tokenizer.ggml.add_bos_token"] is is_sentence_piece
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    vocabulary = tokenizer.get_vocab()
    assert [vocabulary[token] for token in tokens[:-3]] == list(range(len(tokenizer)))
    assert types[-3:] == [gguf.TokenType.UNUSED] * 3
    assert types[vocabulary["<|user|>"]] == gguf.TokenType.CONTROL
    if is_sentence_piece:
        assert types[vocabulary["<0x0A>"]] == gguf.TokenType.BYTE
        assert types[vocabulary["<unk>"]] == gguf.TokenType.UNKNOWN
        assert fields["tokenizer.ggml.add_space_prefix"] is (kind == "llama 2")
    else:
        assert len(fields["tokenizer.ggml.merges"]) > 100


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("llama", {"hidden_act": "gelu"}, "without gelu"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "dynamic"),
        ("qwen3", {"attention_bias": True}, "biases"),
        ("gemma2", {"layer_types": ["full_attention", "sliding_attention"]}, "another order"),
        ("gemma2", {"query_pre_attn_scalar": 100}, "scaled by 100"),
        ("gemma2", {"final_logit_softcapping": None}, "limits other logits"),
    ],
)
def test_what_llama_cpp_would_compute_in_another_way_is_refused_by_name(
    tmp_path: Path, exported: Callable[..., Path], name: str, changes: dict[str, Any], reason: str
) -> None:
    base = make_model(name, tmp_path / "base", **changes)
    with pytest.raises(InvalidRequest, match=reason) as refused:
        exported(base, plain(base), form="full")
    assert refused.value.code == "format_not_available"


@pytest.mark.parametrize("name", sorted({"gpt2", "olmo", *EXPERTS, "gemma4"} - IN_LLAMA_CPP))
def test_other_families_are_refused_by_name(tmp_path: Path, exported: Callable[..., Path], name: str) -> None:
    base = make_family(name, tmp_path / "base")
    with pytest.raises(InvalidRequest, match=f"its base is a {name}(_text)? model"):
        exported(base, plain(base), form="full")


def test_a_tokenizer_that_llama_cpp_does_not_know_is_refused(
    tmp_path: Path, exported: Callable[..., Path]
) -> None:
    tokenizer = make_tokenizer("unknown")
    base = make_model("llama", tmp_path / "base", vocab_size=len(tokenizer))
    tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(InvalidRequest, match="would read other tokens"):
        exported(base, plain(base), form="full")


def test_numbers_too_large_for_half_precision_are_refused(
    tmp_path: Path, exported: Callable[..., Path]
) -> None:
    base = make_model("llama", tmp_path / "base")
    model = plain(base)
    with torch.no_grad():
        model.lm_head.weight[3, 3] = 1e6
    with pytest.raises(InvalidRequest, match="bf16 or q8_0"):
        exported(base, model, form="full")


def test_without_the_library_the_refusal_names_it(
    tmp_path: Path, exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_model("llama", tmp_path / "base")
    model = plain(base)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InvalidRequest, match="the package `gguf`"):
        exported(base, model, form="full")


def test_a_window_that_llama_cpp_does_not_know_bounds_the_context(
    tmp_path: Path, exported: Callable[..., Path]
) -> None:
    base = make_model("mistral", tmp_path / "base", sliding_window=48)
    assert fields_of(exported(base, plain(base), form="full"))["llama.context_length"] == 48


def test_vectors_and_odd_rows_are_not_quantized(tmp_path: Path, exported: Callable[..., Path]) -> None:
    base = make_model("llama", tmp_path / "base", intermediate_size=100)
    kinds = {
        tensor.name: tensor.tensor_type.name
        for tensor in gguf.GGUFReader(exported(base, plain(base), "q8_0", form="full")).tensors
    }
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.ffn_up.weight"] == kinds["token_embd.weight"] == "Q8_0"


def test_large_models_are_split_into_files(store: LocalStore, tmp_path: Path) -> None:
    base = make_model("llama", tmp_path / "base")
    weights = stored_model(store, base, plain(base), tmp_path / "mine", form="full")
    (tmp_path / "scratch").mkdir()
    request = export_request(base, weights, quantization="f16")
    source = open_source(request, store, tmp_path / "scratch")
    (whole,) = gguf_files(request, source)
    parts = gguf_files(request, source, max_bytes=60_000)
    assert [part.name for part in parts] == [
        f"model-f16-{number:05d}-of-{len(parts):05d}.gguf" for number in range(1, len(parts) + 1)
    ]
    found: dict[str, bytes] = {}
    for file in (whole, *parts):
        (tmp_path / file.name).write_bytes(file.open(lambda count: None).read())
        assert (tmp_path / file.name).stat().st_size == file.bytes
    for number, part in enumerate(parts):
        fields = fields_of(tmp_path / part.name)
        assert (fields["split.no"], fields["split.count"]) == (number, len(parts))
        tensors = gguf.GGUFReader(tmp_path / part.name).tensors
        found |= {tensor.name: tensor.data.tobytes() for tensor in tensors}
    expected = gguf.GGUFReader(tmp_path / whole.name).tensors
    assert found == {tensor.name: tensor.data.tobytes() for tensor in expected}
    assert fields_of(tmp_path / parts[0].name)["split.tensors.count"] == len(expected)
