"""A lean Llama for training on a CPU, whose weights can be exported to a `LlamaForCausalLM`.

Only the layout differs from transformers' model: one matrix holds query, key and value, another holds gate
and up, and the head is applied only at positions with a loss. `to_llama_state` splits the matrices again.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluster.bases.tiny.recipe.shape import HEAD_DIM, HEADS, HIDDEN, LAYERS, MLP, NORM_EPS, ROPE_THETA, VOCAB


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the rotary embedding for positions 0..T-1, each of shape (T, HEAD_DIM)."""

    cos_td: Tensor
    sin_td: Tensor


def rotation(length: int, dtype: torch.dtype = torch.float32) -> Rotation:
    """Llama's rotary table. The two halves of a head share the same HEAD_DIM / 2 frequencies."""
    frequencies = ROPE_THETA ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))


class Block(nn.Module):
    """One pre-norm Llama layer. Its output projections start at zero, so it starts as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Parameter(torch.randn(3, HIDDEN, HIDDEN) * HIDDEN**-0.5)
        self.out = nn.Parameter(torch.zeros(HIDDEN, HIDDEN))
        self.gate_up = nn.Parameter(torch.randn(2, MLP, HIDDEN) * HIDDEN**-0.5)
        self.down = nn.Parameter(torch.zeros(HIDDEN, MLP))
        self.attention_norm = nn.Parameter(torch.ones(HIDDEN))
        self.mlp_norm = nn.Parameter(torch.ones(HIDDEN))


class TinyLlama(nn.Module):
    """The whole network. Parameters are fp32; matrix products run in `compute_dtype`."""

    def __init__(self, compute_dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.compute_dtype = compute_dtype
        self.embedding = nn.Parameter(torch.randn(VOCAB, HIDDEN))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(HIDDEN))
        self.head = nn.Parameter(torch.zeros(VOCAB, HIDDEN))

    def layers(self) -> list[Block]:
        """The blocks, with their type."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(self, tokens_bt: Tensor, positions_n: Tensor, rotary: Rotation) -> Tensor:
        """Logits (N, VOCAB) at the flat indices `positions_n` of the (B, T) grid. Causal; no padding mask."""
        dtype = self.compute_dtype
        x = F.embedding(tokens_bt, self.embedding).to(dtype)
        for block in self.layers():
            x = block_forward(
                x,
                block.qkv.to(dtype),
                block.out.to(dtype),
                block.gate_up.to(dtype),
                block.down.to(dtype),
                block.attention_norm,
                block.mlp_norm,
                rotary.cos_td,
                rotary.sin_td,
            )
        chosen = x.flatten(0, 1)[positions_n]
        return F.linear(_rms_norm(chosen, self.norm), self.head.to(dtype)).float()


def block_forward(
    x: Tensor,
    qkv: Tensor,
    out: Tensor,
    gate_up: Tensor,
    down: Tensor,
    attention_norm: Tensor,
    mlp_norm: Tensor,
    cos_td: Tensor,
    sin_td: Tensor,
) -> Tensor:
    """Applies one layer to x (B, T, HIDDEN). A function, so that all layers share one compilation."""
    batch, length, _ = x.shape
    projected = F.linear(_rms_norm(x, attention_norm), qkv.flatten(0, 1))
    query, key, value = projected.view(batch, length, 3, HEADS, HEAD_DIM).permute(2, 0, 3, 1, 4).unbind(0)
    query, key = _rotate(query, cos_td, sin_td), _rotate(key, cos_td, sin_td)
    mixed = _attend(query, key, value)
    x = x + F.linear(mixed.transpose(1, 2).reshape(batch, length, HIDDEN), out)
    gate, up = F.linear(_rms_norm(x, mlp_norm), gate_up.flatten(0, 1)).chunk(2, dim=-1)
    return x + F.linear(F.silu(gate) * up, down)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention, written out: for short sequences on a CPU this is faster than the fused kernel."""
    batch, heads, length, width = query.shape
    flat = (batch * heads, length, width)
    scores = torch.bmm(query.reshape(flat) * width**-0.5, key.reshape(flat).transpose(1, 2)).float()
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -1e9).softmax(-1).to(value.dtype)
    return torch.bmm(weights, value.reshape(flat)).view(batch, heads, length, width)


def _rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + NORM_EPS)
    return x * scale.to(x.dtype) * weight.to(x.dtype)


def _rotate(x: Tensor, cos_td: Tensor, sin_td: Tensor) -> Tensor:
    half = HEAD_DIM // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos_td.to(x.dtype) + turned * sin_td.to(x.dtype)


def to_llama_state(model: TinyLlama) -> dict[str, Tensor]:
    """The parameters under transformers' names, in bf16."""
    state: dict[str, Tensor] = {
        "model.embed_tokens.weight": model.embedding,
        "model.norm.weight": model.norm,
        "lm_head.weight": model.head,
    }
    for index, block in enumerate(model.layers()):
        prefix = f"model.layers.{index}."
        for name, part in zip(("q_proj", "k_proj", "v_proj"), block.qkv, strict=True):
            state[f"{prefix}self_attn.{name}.weight"] = part
        state[f"{prefix}self_attn.o_proj.weight"] = block.out
        state[f"{prefix}mlp.gate_proj.weight"] = block.gate_up[0]
        state[f"{prefix}mlp.up_proj.weight"] = block.gate_up[1]
        state[f"{prefix}mlp.down_proj.weight"] = block.down
        state[f"{prefix}input_layernorm.weight"] = block.attention_norm
        state[f"{prefix}post_attention_layernorm.weight"] = block.mlp_norm
    return {name: tensor.detach().to(torch.bfloat16).contiguous().clone() for name, tensor in state.items()}
