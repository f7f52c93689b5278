"""The model families that llama.cpp computes in the same way as transformers, and how their files describe
them.

If llama.cpp read a file as another model than it is, answers would be wrong without an error. Anything that
is not known here is therefore refused."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cluster.exporting.tensors import not_available

_ROPE_FIELDS = {"rope_type", "rope_theta", "factor", "original_max_position_embeddings"}
_LLAMA3_FIELDS = {"low_freq_factor", "high_freq_factor"}
_GELU = "gelu_pytorch_tanh"


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    """llama.cpp's name of the architecture."""
    activation: str
    rotates_pairs: bool = False
    """Whether llama.cpp rotates neighbouring elements of a head, while transformers rotates those of its two
    halves."""
    norm_offset: float = 0.0
    """Offset that transformers adds to the weights of norms, and that llama.cpp expects to be added
    already."""
    full_every: int | None = None
    """Period of layers with full attention; the others have a sliding window. None if llama.cpp does not know
    a window."""
    can_have_biases: bool = True


FAMILIES = {
    "llama": Family("llama", "silu", rotates_pairs=True),
    "mistral": Family("llama", "silu", rotates_pairs=True),
    "qwen2": Family("qwen2", "silu"),
    "qwen3": Family("qwen3", "silu", can_have_biases=False),
    "gemma": Family("gemma", _GELU, norm_offset=1.0, can_have_biases=False),
    "gemma2": Family("gemma2", _GELU, norm_offset=1.0, full_every=2, can_have_biases=False),
    "gemma3_text": Family("gemma3", _GELU, norm_offset=1.0, full_every=6, can_have_biases=False),
}
"""Families by transformers' `model_type`."""

_LARGEST_GEMMAS = {"gemma2": 46, "gemma3_text": 62}
"""Numbers of layers of the models with 27 billion parameters, whose attention llama.cpp scales
differently."""


def family_of(config: Any) -> Family:
    """Returns the family. Raises InvalidRequest (`format_not_available`) for models that llama.cpp would
    compute differently."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise not_available(
            f"GGUF files are made of {', '.join(FAMILIES)} models; its base is a {config.model_type} model"
        )
    activation = getattr(config, "hidden_activation", None) or config.hidden_act
    if activation != family.activation:
        raise not_available(f"llama.cpp computes {family.name} models without {activation}")
    if getattr(config, "attention_bias", False) and not family.can_have_biases:
        raise not_available(f"llama.cpp knows no biases in the attention of {family.name} models")
    if getattr(config, "use_bidirectional_attention", False):
        raise not_available("its attention is bidirectional")
    if family.full_every is not None:
        _check_gemma(config, family)
    return family


def describe(config: Any, family: Family, writer: Any) -> None:
    """Writes the sizes and constants of the model into `writer`, a GGUFWriter."""
    head_dim = _head_dim(config)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(_context_length(config, family))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if family.full_every is not None:
        writer.add_sliding_window(config.sliding_window)
    if getattr(config, "attn_logit_softcapping", None):
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    _describe_rope(config, writer)


def rope_factors(config: Any) -> Tensor | None:
    """Returns the factors by which Llama 3.1 divides the frequencies, float32 [head_dim / 2]; None for other
    models."""
    if _rope(config)["rope_type"] != "llama3":
        return None
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    head_dim = _head_dim(config)
    plain = 1.0 / _rope(config)["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim)
    factors: Tensor = plain / scaled.float()
    return factors


def converted(name: str, config: Any, family: Family) -> Callable[[Tensor], Tensor]:
    """Returns the function that converts the tensor `name`, given by transformers' name, to llama.cpp's."""
    layer, _, kind = name.rpartition(".")
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(layer.rpartition(".")[2])
    if family.rotates_pairs and count is not None:
        return lambda tensor: _in_pairs(tensor, count)
    if family.norm_offset and kind == "weight" and layer.endswith("norm"):
        return lambda tensor: tensor.float() + family.norm_offset
    return lambda tensor: tensor


def _in_pairs(tensor: Tensor, heads: int) -> Tensor:
    """Reorders the rows of each head: rows of the first and the second half alternate."""
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _context_length(config: Any, family: Family) -> int:
    """Returns the length of the context. If llama.cpp does not know a window, only texts within one are
    computed as in transformers."""
    length: int = config.max_position_embeddings
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"]
    if family.full_every is None and window and "sliding_attention" in kinds:
        return min(length, int(window))
    return length


def _rope(config: Any) -> dict[str, Any]:
    """The parameters of layers with full attention."""
    parameters: dict[str, Any] = config.rope_parameters.get("full_attention", config.rope_parameters)
    return parameters


def _describe_rope(config: Any, writer: Any) -> None:
    from gguf import RopeScalingType

    rope = _rope(config)
    kind = rope["rope_type"]
    known = _ROPE_FIELDS | (_LLAMA3_FIELDS if kind == "llama3" else set())
    if unknown := sorted(rope.keys() - known):
        raise not_available(f"its positions are scaled with {unknown[0]}")
    writer.add_rope_freq_base(rope["rope_theta"])
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
    elif kind not in ("default", "llama3"):
        raise not_available(f"its positions are scaled by {kind}")
    if kind == "yarn":
        original = rope.get("original_max_position_embeddings") or config.max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(original)
    if (sliding := config.rope_parameters.get("sliding_attention")) is not None:
        if sliding["rope_type"] != "default":
            raise not_available("the positions in its sliding windows are scaled")
        writer.add_rope_freq_base_swa(sliding["rope_theta"])


def _check_gemma(config: Any, family: Family) -> None:
    assert family.full_every is not None
    for number, kind in enumerate(config.layer_types, 1):
        if (kind == "full_attention") != (number % family.full_every == 0):
            raise not_available(f"its layer {number} has {kind}; llama.cpp knows another order")
    is_largest = config.num_hidden_layers == _LARGEST_GEMMAS[config.model_type]
    scale = config.hidden_size / config.num_attention_heads if is_largest else _head_dim(config)
    if not math.isclose(config.query_pre_attn_scalar, scale):
        raise not_available(f"its attention is scaled by {config.query_pre_attn_scalar}")
    caps = (config.attn_logit_softcapping, config.final_logit_softcapping)
    if (family.name == "gemma2") != all(caps) or any(caps) != all(caps):
        raise not_available("llama.cpp limits other logits")
