"""Samples one token per row from a batch of logits, with settings and a random stream per row."""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cluster.serving.embedded.adjusting import adjusted
from cluster.serving.embedded.draw import Draw

_COLDEST = 1e-5
"""Lower temperatures are treated as greedy; dividing by them would overflow."""


def pick_tokens(
    logits_BV: Tensor, draws: Sequence[Draw], allowed: Mapping[int, Tensor] | None = None
) -> Tensor:
    """Returns one token id per row, int64 [B]. Logits are float32 and not modified. `allowed` maps
    constrained rows to a bool [V] of the tokens they may pick, at least one.

    As in vLLM: `adjusted` comes first, then disallowed tokens are masked, then temperature, min_p, top_k and
    top_p are applied, each to what the previous ones have left."""
    adjusted_BV = adjusted(logits_BV, draws)
    allowed = allowed or {}
    tokens_B = adjusted_BV.argmax(-1)
    warm = [row for row, draw in enumerate(draws) if draw.sampling.temperature >= _COLDEST]
    if cold := sorted(allowed.keys() - warm):
        rows = torch.tensor(cold, device=logits_BV.device)
        tokens_B[rows] = _kept(adjusted_BV[rows], cold, allowed).argmax(-1)
    if warm:
        rows = torch.tensor(warm, device=logits_BV.device)
        kept_WV = _kept(adjusted_BV[rows], warm, allowed)
        tokens_B[rows] = _drawn(kept_WV, [draws[row] for row in warm])
    return tokens_B


def uniform(seed: int, choice: int, position: int) -> float:
    """Returns a number in [0, 1 - 2^-48] that depends on the arguments alone."""
    digest = hashlib.blake2b(f"{seed}/{choice}/{position}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _kept(logits_RV: Tensor, rows: Sequence[int], allowed: Mapping[int, Tensor]) -> Tensor:
    """Returns the rows' logits, with disallowed tokens masked in place."""
    for place, row in enumerate(rows):
        if row in allowed:
            logits_RV[place].masked_fill_(~allowed[row], -torch.inf)
    return logits_RV


def _drawn(logits_BV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Inverse transform sampling in vocabulary order, which is robust against rounding of the logits."""
    device = logits_BV.device
    # Explicit types: loading a model in another thread temporarily changes torch's default type.
    temperatures_B1 = torch.tensor(
        [[draw.sampling.temperature] for draw in draws], device=device, dtype=torch.float32
    )
    uniforms_B1 = torch.tensor(
        [[uniform(draw.seed, draw.choice, draw.position)] for draw in draws],
        device=device,
        dtype=torch.float64,
    )
    shifted_BV = (logits_BV - logits_BV.amax(-1, keepdim=True)) / temperatures_B1
    _leave_out_unlikely(shifted_BV, draws)
    probabilities_BV = shifted_BV.softmax(-1)
    if any(draw.sampling.top_p < 1 for draw in draws):
        top_p_B1 = torch.tensor([[draw.sampling.top_p] for draw in draws], device=device, dtype=torch.float32)
        probabilities_BV = _nucleus(probabilities_BV, top_p_B1)
    cumulative_BV = probabilities_BV.cumsum(-1, dtype=torch.float64)
    # A row of NaN is clamped here. The caller checks logits for non-finite numbers and fails the request.
    found_B1 = torch.searchsorted(cumulative_BV, uniforms_B1 * cumulative_BV[:, -1:], right=True)
    return found_B1.squeeze(-1).clamp_(max=logits_BV.shape[-1] - 1)


def _leave_out_unlikely(shifted_BV: Tensor, draws: Sequence[Draw]) -> None:
    """Masks tokens that `min_p` and then `top_k` exclude, in place. The largest logit of each row is 0.

    All tokens as likely as the last one of `top_k` are kept. min_p is that of Nguyen et al., 2025
    (arXiv:2407.01082)."""
    if any(draw.sampling.min_p for draw in draws):
        floors_B1 = torch.tensor(
            [[draw.sampling.min_p] for draw in draws], device=shifted_BV.device, dtype=torch.float32
        ).log()
        shifted_BV.masked_fill_(shifted_BV < floors_B1, -torch.inf)
    if limits := {row: k for row, draw in enumerate(draws) if (k := draw.sampling.top_k)}:
        rows_L = torch.tensor(list(limits), device=shifted_BV.device)
        limits_L1 = torch.tensor([[k] for k in limits.values()], device=shifted_BV.device)
        limits_L1.clamp_(max=shifted_BV.shape[-1])
        limited_LV = shifted_BV[rows_L]
        largest_LK = limited_LV.topk(min(max(limits.values()), shifted_BV.shape[-1]), -1).values
        last_L1 = largest_LK.gather(-1, limits_L1 - 1)
        shifted_BV[rows_L] = limited_LV.masked_fill_(limited_LV < last_L1, -torch.inf)


def _nucleus(probabilities_BV: Tensor, top_p_B1: Tensor) -> Tensor:
    """Zeroes all but the smallest set of most likely tokens with a total probability of `top_p`, at least one
    token (Holtzman et al., 2020, arXiv:1904.09751). Rows with top_p = 1 are unchanged."""
    sorted_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
    before_BV = sorted_BV.cumsum(-1) - sorted_BV
    kept_BV = (before_BV < top_p_B1) | (top_p_B1 >= 1)
    kept_BV[:, 0] = True
    return torch.zeros_like(probabilities_BV).scatter_(-1, order_BV, sorted_BV * kept_BV)
