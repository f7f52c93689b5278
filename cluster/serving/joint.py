"""Runs all rows in one forward pass over a slot cache: for models of plain keys and values."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from cluster.serving.adapted_model import AdaptedModel
from cluster.serving.adapter import Adapter
from cluster.serving.attention import Attention
from cluster.serving.cache import SlotCache
from cluster.serving.prefix import begin
from cluster.serving.runner import Prefill

_IGNORED = 0
"""Token id that fills short rows of a prefill; causal attention keeps it from being seen."""


class JointRunner:
    """A Runner whose rows share every forward pass."""

    def __init__(self, model: AdaptedModel, attention: Attention, *, max_rows: int, max_length: int) -> None:
        self._model = model
        self._attention = attention
        self._adapters: list[Adapter | None] = []
        self._cache = SlotCache(model.config.num_hidden_layers, max_rows=max_rows, max_length=max_length)

    @property
    def num_embeddings(self) -> int:
        return self._model.num_embeddings

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill:
        lengths = [len(prompt) for prompt in prompts]
        padded = [prompt + [_IGNORED] * (max(lengths) - len(prompt)) for prompt in prompts]
        # Without the configuration: layers that keep everything, as the slot cache does.
        cache = DynamicCache()
        begin(cache, adapters[0], rows=len(prompts), dtype=self._model.dtype)
        return Prefill(torch.tensor(padded, device=self._model.device), lengths, list(adapters), cache)

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        chunk_KT = prefill.token_ids_KT[:, prefill.done : prefill.done + num_tokens]
        rows, length = chunk_KT.shape
        first = prefill.prefix_length + prefill.done
        last_K1 = torch.tensor(
            [[length_ - 1 - prefill.done] for length_ in prefill.lengths], device=self._model.device
        )
        logits_KTV = self._model.forward(
            chunk_KT,
            prefill.adapters,
            position_ids=torch.arange(first, first + length, device=self._model.device).expand(rows, -1),
            past_key_values=prefill.cache,
            use_cache=True,
            logits_to_keep=0 if keeps_all else last_K1.clamp_(0, length - 1),
        )
        prefill.done += length
        return logits_KTV if keeps_all else logits_KTV[:, 0]

    def add_row(self, prefill: Prefill, row: int) -> None:
        self._cache.append(prefill.cache, row, prefill.prefix_length + prefill.lengths[row])
        self._adapters.append(prefill.adapters[row])

    def decode(self, tokens: Sequence[int]) -> Tensor:
        positions_B1 = self._cache.advance()
        logits_B1V = self._model.forward(
            [[token] for token in tokens],
            self._adapters,
            position_ids=positions_B1,
            attention_mask=self._attention.decode_mask(positions_B1, self._cache.longest),
            past_key_values=self._cache,
            use_cache=True,
        )
        return logits_B1V[:, 0]

    def release(self, row: int) -> None:
        self._cache.release(row)
        self._adapters[row] = self._adapters[-1]
        self._adapters.pop()
        if not self._adapters:
            self._model.forget()

    def clear(self) -> None:
        self._cache.clear()
        self._adapters.clear()
        self._model.forget()
