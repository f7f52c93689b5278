"""Runs all rows in one forward pass over a slot cache: for models that cache plain keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, modeling_utils

from cluster.serving.embedded.attention import Attention
from cluster.serving.embedded.cache import SlotCache
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.padding import split_by_length
from cluster.serving.embedded.prefix import begin
from cluster.serving.embedded.runner import Prefill
from cluster.serving.weights.adapter import Adapter

_IGNORED = 0
"""Token id that pads short rows of a prefill; causal attention hides it."""

_KEEPS_BY_ROW = hasattr(modeling_utils, "slice_logits_to_keep")
"""Whether the model can compute the logits of a different position in each row. Older releases of
transformers compute those of all these positions in every row."""

_PASS_TOKENS = {"cpu": 32}
"""Fixed cost of a forward pass by device, in tokens, for reading weights and launching kernels."""
_PASS_TOKENS_ELSEWHERE = 512


@dataclass
class _Part:
    """The prompts of a prefill that share forward passes."""

    rows: list[int]
    cache: DynamicCache
    longest: int
    """Tokens."""
    logits: Tensor | None = None
    """Logits of the newest tokens."""


class BatchedRunner:
    """A ModelRunner whose rows share every forward pass."""

    def __init__(self, model: AdaptedModel, attention: Attention, *, max_rows: int, max_length: int) -> None:
        self._model = model
        self._attention = attention
        self._adapters: list[Adapter | None] = []
        self._cache = SlotCache(len(model.states), max_rows=max_rows, max_length=max_length)

    @property
    def num_embeddings(self) -> int:
        return self._model.num_embeddings

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill:
        lengths = [len(prompt) for prompt in prompts]
        padded = [prompt + [_IGNORED] * (max(lengths) - len(prompt)) for prompt in prompts]
        device = self._model.device
        parts = []
        for rows in split_by_length(
            lengths, pass_tokens=_PASS_TOKENS.get(device.type, _PASS_TOKENS_ELSEWHERE)
        ):
            # Without the configuration, the layers keep all tokens, as the slot cache does.
            cache = DynamicCache()
            begin(cache, adapters[0], rows=len(rows), dtype=self._model.dtype)
            # Puts rows of one adapter side by side, so that it multiplies them together.
            rows.sort(key=lambda row: adapter.digest if (adapter := adapters[row]) is not None else "")
            parts.append(_Part(rows, cache, max(lengths[row] for row in rows)))
        return Prefill(torch.tensor(padded, device=device), lengths, list(adapters), parts)

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        start, prefill.done = prefill.done, min(prefill.done + num_tokens, prefill.token_ids_KT.shape[1])
        for part in prefill.cache:
            if start < part.longest:
                part.logits = self._run(prefill, part, start, keeps_all=keeps_all)
        if keeps_all:
            logits_KTV: Tensor = prefill.cache[0].logits
            return logits_KTV
        rows_K = torch.tensor([row for part in prefill.cache for row in part.rows])
        return torch.cat([part.logits for part in prefill.cache])[rows_K.argsort().to(self._model.device)]

    def _run(self, prefill: Prefill, part: _Part, start: int, *, keeps_all: bool) -> Tensor:
        """Runs the part's positions from `start` to `prefill.done`. Returns what `prefill` returns, for the
        part's rows."""
        chunk_KT = prefill.token_ids_KT[part.rows, start : min(prefill.done, part.longest)]
        rows, length = chunk_KT.shape
        first = prefill.prefix_length + start
        last_K1 = torch.tensor(
            [[prefill.lengths[row] - 1 - start] for row in part.rows], device=self._model.device
        )
        kept: int | Tensor = 0 if keeps_all else last_K1.clamp_(0, length - 1)
        if isinstance(kept, Tensor) and not _KEEPS_BY_ROW:
            kept, places_K1 = torch.unique(kept, return_inverse=True)
        logits_KTV = self._model.forward(
            chunk_KT,
            [prefill.adapters[row] for row in part.rows],
            position_ids=torch.arange(first, first + length, device=self._model.device).expand(rows, -1),
            past_key_values=part.cache,
            use_cache=True,
            logits_to_keep=kept,
        )
        if keeps_all:
            return logits_KTV
        return logits_KTV[:, 0] if _KEEPS_BY_ROW else logits_KTV[torch.arange(rows), places_K1[:, 0]]

    def add_row(self, prefill: Prefill, row: int) -> None:
        part = next(part for part in prefill.cache if row in part.rows)
        length = prefill.prefix_length + prefill.lengths[row]
        self._cache.append(part.cache, part.rows.index(row), length)
        self._adapters.append(prefill.adapters[row])

    def decode(self, tokens: Sequence[int]) -> Tensor:
        positions_B1 = self._cache.advance(len(tokens))
        logits_B1V = self._model.forward(
            [[token] for token in tokens],
            self._adapters[: len(tokens)],
            position_ids=positions_B1,
            attention_mask=self._attention.decode_mask(positions_B1, self._cache.longest),
            past_key_values=self._cache,
            use_cache=True,
        )
        return logits_B1V[:, 0]

    def swap(self, row: int, other: int) -> None:
        self._cache.swap(row, other)
        self._adapters[row], self._adapters[other] = self._adapters[other], self._adapters[row]

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
