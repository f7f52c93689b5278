"""Runs each row by itself on transformers' own cache: slower, but correct for every kind of layer."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.prefix import begin
from cluster.serving.embedded.runner import Prefill
from cluster.serving.weights.adapter import Adapter


@dataclass
class _Row:
    cache: Any
    adapter: Adapter | None
    last_1V: Tensor | None = None
    """Logits after the newest token."""


class PerRowRunner:
    """A ModelRunner for models whose rows cannot share a cache: linear attention, position biases that are
    computed from the cache's length, and anything else that fails the batched parity check."""

    def __init__(self, model: AdaptedModel, *, continues: bool = True) -> None:
        """`continues`: whether the model can process a prompt in parts. The first version of Mamba, as
        implemented in transformers, begins each part with an empty state."""
        self._model = model
        self._continues = continues
        self._rows: list[_Row] = []

    @property
    def num_embeddings(self) -> int:
        return self._model.num_embeddings

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill:
        rows = []
        for adapter in adapters:
            cache = DynamicCache(config=self._model.config)
            begin(cache, adapter, rows=1, dtype=self._model.dtype)
            rows.append(_Row(cache, adapter))
        lengths = [len(prompt) for prompt in prompts]
        padded = [prompt + [0] * (max(lengths) - len(prompt)) for prompt in prompts]
        return Prefill(torch.tensor(padded, device=self._model.device), lengths, list(adapters), rows)

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        start, stop = prefill.done, min(prefill.done + num_tokens, prefill.token_ids_KT.shape[1])
        prefill.done = stop
        if not self._continues:
            return self._prefill_whole(prefill, start, keeps_all=keeps_all)
        if keeps_all:
            return self._forward(prefill.cache[0], prefill.token_ids_KT[:1, start:stop])
        for place, row in enumerate(prefill.cache):
            chunk_1T = prefill.token_ids_KT[place : place + 1, start : min(stop, prefill.lengths[place])]
            if chunk_1T.shape[1]:
                row.last_1V = self._forward(row, chunk_1T, logits_to_keep=1)[:, -1]
        return torch.cat([row.last_1V for row in prefill.cache])

    def _prefill_whole(self, prefill: Prefill, start: int, *, keeps_all: bool) -> Tensor:
        """Runs each prompt in one pass as soon as all of it is due. If all logits of a prompt are wanted, it
        is run again up to the end of each part, so that only one part's logits are in memory."""
        stop = prefill.done
        if keeps_all:
            prompt_1T = prefill.token_ids_KT[:1, :stop]
            return self._forward(
                prefill.cache[0], prompt_1T, caches=prefill.is_done, logits_to_keep=stop - start
            )
        for place, row in enumerate(prefill.cache):
            if start < prefill.lengths[place] <= stop:
                prompt_1T = prefill.token_ids_KT[place : place + 1, : prefill.lengths[place]]
                row.last_1V = self._forward(row, prompt_1T, logits_to_keep=1)[:, -1]
        unknown_1V = torch.zeros(1, self.num_embeddings, device=self._model.device)
        return torch.cat([unknown_1V if row.last_1V is None else row.last_1V for row in prefill.cache])

    def add_row(self, prefill: Prefill, row: int) -> None:
        # A copy, because several sequences may continue one prompt.
        self._rows.append(_Row(copy.deepcopy(prefill.cache[row].cache), prefill.adapters[row]))

    def decode(self, tokens: Sequence[int]) -> Tensor:
        return torch.cat(
            [
                self._forward(row, torch.tensor([[token]], device=self._model.device))[:, -1]
                for row, token in zip(self._rows[: len(tokens)], tokens, strict=True)
            ]
        )

    def swap(self, row: int, other: int) -> None:
        self._rows[row], self._rows[other] = self._rows[other], self._rows[row]

    def release(self, row: int) -> None:
        self._rows[row] = self._rows[-1]
        self._rows.pop()
        if not self._rows:
            self._model.forget()

    def clear(self) -> None:
        self._rows.clear()
        self._model.forget()

    def _forward(self, row: _Row, token_ids_1T: Tensor, *, caches: bool = True, **options: Any) -> Tensor:
        """float32 logits [1, T, V]."""
        # The model derives positions and masks from its own cache.
        cache = row.cache if caches else None
        return self._model.forward(
            token_ids_1T, [row.adapter], past_key_values=cache, use_cache=caches, **options
        )
