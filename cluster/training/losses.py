"""Losses as sums, with counts beside them: sums of parts add up to the whole, means of parts do not."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cluster.training.batches import Microbatch

HEAD_ELEMENTS = 1 << 26
"""Logits computed at once: 256 MB in fp32. More are computed in chunks, and again in the backward pass."""


class Sums(NamedTuple):
    loss: Tensor
    """Scalar: nats, summed over the learned tokens; differentiable."""
    correct: Tensor
    """Scalar: how many of them were the most likely token."""


def supervised_sums(model: Any, batch: Microbatch, *, head_elements: int = HEAD_ELEMENTS) -> Sums:
    """Cross-entropy of the learned tokens under a causal transformers model, adapted or not.

    The language-model head runs on learned positions only, at most `head_elements` logits at a time: the
    others' are never made.
    """
    decoder = model.get_decoder()
    hidden = decoder(input_ids=batch.token_ids, use_cache=False).last_hidden_state
    rows = hidden.flatten(0, 1).index_select(0, batch.positions)
    chunk = max(1, head_elements // model.config.get_text_config().vocab_size)
    if len(rows) <= chunk:
        return _head_sums(model, rows, batch.targets)
    parts = [
        checkpoint(_head_sums, model, *part, use_reentrant=False, preserve_rng_state=False)
        for part in zip(torch.split(rows, chunk), torch.split(batch.targets, chunk), strict=True)
    ]
    return Sums(
        torch.stack([part.loss for part in parts]).sum(), torch.stack([part.correct for part in parts]).sum()
    )


def _head_sums(model: Any, rows: Tensor, targets: Tensor) -> Sums:
    logits = head_logits(model, rows)
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    return Sums(loss, (logits.detach().argmax(-1) == targets).sum())


def head_logits(model: Any, rows: Tensor) -> Tensor:
    """fp32 logits (S, V) of hidden states (S, H), with what some families do after the head."""
    logits: Tensor = model.get_output_embeddings()(rows).float()
    config = model.config.get_text_config()
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
        logits = torch.tanh(logits / cap) * cap
    return logits
