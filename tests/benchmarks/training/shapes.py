"""Llamas with random weights, in several shapes."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.tiny_base import make_tokenizer


@dataclass(frozen=True, slots=True)
class Shape:
    hidden: int
    layers: int
    intermediate: int
    heads: int
    key_heads: int
    vocab: int

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads

    @property
    def parameters_per_layer(self) -> int:
        attention = 2 * self.hidden * (self.heads + self.key_heads) * self.head_width
        return attention + 3 * self.hidden * self.intermediate

    @property
    def parameters(self) -> int:
        return self.layers * self.parameters_per_layer + 2 * self.vocab * self.hidden


SHAPES = {
    "tiny": Shape(hidden=64, layers=2, intermediate=128, heads=4, key_heads=2, vocab=512),
    # The head is half of the work per token, as in small models with large vocabularies.
    "small": Shape(hidden=256, layers=12, intermediate=768, heads=4, key_heads=2, vocab=32_000),
    "llama-8b": Shape(hidden=4096, layers=32, intermediate=14_336, heads=32, key_heads=8, vocab=128_256),
}

FULL_BYTES = 18
"""Bytes of a trained parameter: value, gradient and two moments in fp32, and a bf16 copy to compute with."""


def fit(shape: Shape, *, memory_bytes: int) -> Shape:
    """Reduces the number of layers until full fine-tuning fits in the memory.

    A fifth of the memory is left for activations.
    """
    outside = replace(shape, layers=0).parameters * FULL_BYTES
    room = (0.8 * memory_bytes - outside) / (shape.parameters_per_layer * FULL_BYTES)
    return replace(shape, layers=max(1, min(shape.layers, int(room))))


def make_base(folder: Path, shape: Shape, *, context: int, dtype: torch.dtype, device: torch.device) -> None:
    """Saves a model of this shape, and a tokenizer with a part of its vocabulary, in transformers' format."""
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        dtype=dtype,
    )
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM(config).to(dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
