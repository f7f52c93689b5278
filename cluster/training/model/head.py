"""The language-model head, applied to learned positions only. No other logits are computed."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cluster.contracts.plan import PAIR_LOGITS
from cluster.training.data.batches import Microbatch
from cluster.training.model.cross_entropy import HeadShape, linear_cross_entropy


@dataclass(frozen=True, slots=True)
class Head:
    """How logits are computed from a model's forward."""

    is_apart: bool = True
    """Whether the head is applied here, to the decoder's output. Otherwise the model's own forward computes
    all logits: for families that compute more than `logits_of` does, and for adapters that put tokens before
    the prompt."""

    def rows(self, model: Any, batch: Microbatch) -> Tensor:
        """Returns what the learned tokens are predicted from: hidden states (S, H), or logits (S, V)."""
        packed = {}
        if batch.segments is not None:
            packed = {"position_ids": batch.position_ids, "segments": batch.segments}
        if self.is_apart:
            decoder = causal_model(model).get_decoder()
            output = decoder(input_ids=batch.token_ids, use_cache=False, **packed).last_hidden_state
        else:
            output = model(input_ids=batch.token_ids, use_cache=False, **packed).logits
            # Virtual tokens before the prompt also have logits.
            output = output[:, -batch.token_ids.shape[1] :]
        rows: Tensor = output.flatten(0, 1).index_select(0, batch.positions)
        return rows

    def loss(self, model: Any, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the summed cross-entropy, differentiable, and the number of targets that were the most
        likely token."""
        if not self.is_apart:
            logits = rows.float()
            loss = functional.cross_entropy(logits, targets, reduction="sum")
            return loss, (logits.detach().argmax(-1) == targets).sum()
        model = causal_model(model)
        head = model.get_output_embeddings()
        return linear_cross_entropy(rows, head.weight, head.bias, targets, head_shape(model))

    def logprobs(self, model: Any, rows: Tensor, targets: Tensor) -> Tensor:
        """Returns float32 (S,): the log-probability of each target; differentiable. More than PAIR_LOGITS
        logits are computed in chunks, and recomputed in the backward pass."""
        size = max(1, PAIR_LOGITS // causal_model(model).config.get_text_config().vocab_size)
        chunks = list(zip(torch.split(rows, size), torch.split(targets, size), strict=True))
        if len(chunks) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._logprobs(model, *chunk) for chunk in chunks])
        again = partial(checkpoint, self._logprobs, model, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(*chunk) for chunk in chunks])

    def _logprobs(self, model: Any, rows: Tensor, targets: Tensor) -> Tensor:
        return -functional.cross_entropy(self.logits(model, rows), targets, reduction="none")

    def logits(self, model: Any, rows: Tensor) -> Tensor:
        """Returns float32 (S, V)."""
        return logits_of(causal_model(model), rows) if self.is_apart else rows.float()


def causal_model(model: Any) -> Any:
    """Returns the transformers model inside PEFT's wrapper. LoRA layers are part of it and of its forward."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def logits_of(model: Any, rows: Tensor) -> Tensor:
    """Returns fp32 logits (S, V) of hidden states (S, H), including what some families compute after the
    head."""
    logits: Tensor = model.get_output_embeddings()(rows).float()
    shape = head_shape(model)
    logits = logits * shape.scale
    return logits if shape.cap is None else torch.tanh(logits / shape.cap) * shape.cap


def head_shape(model: Any) -> HeadShape:
    """Returns the scale and cap that some families apply after the head."""
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1.0  # Cohere
    scale /= getattr(config, "logits_scaling", None) or 1.0  # Granite
    return HeadShape(scale, getattr(config, "final_logit_softcapping", None))  # Gemma 2
