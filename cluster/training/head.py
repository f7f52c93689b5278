"""The language-model head, on learned positions only: the logits of all others are never made."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cluster.training.batches import Microbatch

HEAD_ELEMENTS = 1 << 26
"""Logits computed at once: 256 MB in fp32. More are computed in chunks, and again in the backward pass."""


@dataclass(frozen=True, slots=True)
class Head:
    """How logits are made from a model's forward."""

    is_apart: bool = True
    """The head is applied here, to the decoder's output. Else the model's own forward makes all logits: for
    families that compute more than `logits_of` knows, and adapters that put tokens before the prompt."""
    chunk_elements: int = HEAD_ELEMENTS

    def rows(self, model: Any, batch: Microbatch) -> Tensor:
        """What the learned tokens are predicted from: hidden states (S, H), or logits (S, V)."""
        packed = {}
        if batch.segments is not None:
            packed = {"position_ids": batch.position_ids, "segments": batch.segments}
        if self.is_apart:
            decoder = causal_model(model).get_decoder()
            output = decoder(input_ids=batch.token_ids, use_cache=False, **packed).last_hidden_state
        else:
            output = model(input_ids=batch.token_ids, use_cache=False, **packed).logits
            # Learned tokens before the prompt have logits too.
            output = output[:, -batch.token_ids.shape[1] :]
        rows: Tensor = output.flatten(0, 1).index_select(0, batch.positions)
        return rows

    def loss(self, model: Any, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy, differentiable, and how many targets were the most likely token."""
        parts = [
            self._in_chunk(_loss, model, *chunk, is_whole=len(chunk[0]) == len(rows))
            for chunk in self._chunks(model, rows, targets)
        ]
        return torch.stack([p[0] for p in parts]).sum(), torch.stack([p[1] for p in parts]).sum()

    def logprobs(self, model: Any, rows: Tensor, targets: Tensor) -> Tensor:
        """float32 (S,): of each target; differentiable."""
        parts = [
            self._in_chunk(_logprobs, model, *chunk, is_whole=len(chunk[0]) == len(rows))
            for chunk in self._chunks(model, rows, targets)
        ]
        return torch.cat(parts)

    def _chunks(self, model: Any, rows: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
        size = max(1, self.chunk_elements // causal_model(model).config.get_text_config().vocab_size)
        return list(zip(torch.split(rows, size), torch.split(targets, size), strict=True))

    def _in_chunk(self, function: Any, model: Any, rows: Tensor, targets: Tensor, *, is_whole: bool) -> Any:
        if is_whole or not torch.is_grad_enabled():
            return function(self, model, rows, targets)
        return checkpoint(function, self, model, rows, targets, use_reentrant=False, preserve_rng_state=False)

    def logits(self, model: Any, rows: Tensor) -> Tensor:
        return logits_of(causal_model(model), rows) if self.is_apart else rows.float()


def _loss(head: Head, model: Any, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = head.logits(model, rows)
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    return loss, (logits.detach().argmax(-1) == targets).sum()


def _logprobs(head: Head, model: Any, rows: Tensor, targets: Tensor) -> Tensor:
    return -functional.cross_entropy(head.logits(model, rows), targets, reduction="none")


def causal_model(model: Any) -> Any:
    """The transformers model inside PEFT's wrapper; LoRA layers are part of it and of its forward."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def logits_of(model: Any, rows: Tensor) -> Tensor:
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
