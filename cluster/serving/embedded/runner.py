"""The interface between continuous batching and a model with its caches: tensors and rows, no requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from cluster.serving.weights.adapter import Adapter


@dataclass
class Prefill:
    """Prompts that are being prefilled into a cache, padded on the right. Either all their adapters share one
    prefix, or none has a prefix."""

    token_ids_KT: Tensor
    lengths: list[int]
    adapters: list[Adapter | None]
    cache: Any
    """Cache owned by the runner."""
    done: int = 0
    """Tokens of the padded length that the model has processed."""

    @property
    def is_done(self) -> bool:
        return self.done == self.token_ids_KT.shape[1]

    @property
    def num_left(self) -> int:
        """Tokens of the padded length that are left."""
        return self.token_ids_KT.shape[1] - self.done

    @property
    def prefix_length(self) -> int:
        """Tokens of the prefix in the cache."""
        first = self.adapters[0]
        return 0 if first is None else first.prefix_length


class ModelRunner(Protocol):
    """Prefills prompts into separate caches and decodes all rows together. Used from one thread."""

    @property
    def num_embeddings(self) -> int:
        """Size of the embedding: valid token ids are 0 to `num_embeddings - 1`."""
        ...

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill: ...

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        """Runs the next `num_tokens` positions. Returns float32 logits. With `keeps_all`, which is for a
        single prompt only, they are [1, T, V] of all these positions; otherwise [K, V] after each row's last
        token, valid once `is_done`."""
        ...

    def add_row(self, prefill: Prefill, row: int) -> None:
        """Appends row `row` of a finished prefill to the batch."""
        ...

    def decode(self, tokens: Sequence[int]) -> Tensor:
        """Feeds one token to each of the first B rows and leaves the others unchanged. Returns float32 logits
        [B, V]."""
        ...

    def swap(self, row: int, other: int) -> None:
        """Swaps two rows."""
        ...

    def release(self, row: int) -> None:
        """Frees a row; the last row moves to its place."""
        ...

    def clear(self) -> None:
        """Frees all rows."""
        ...
