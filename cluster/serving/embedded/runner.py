"""What continuous batching asks of a model and its caches: tensors and rows, nothing of requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from cluster.serving.weights.adapter import Adapter


@dataclass
class Prefill:
    """Prompts on their way into a cache, rows padded on the right. All their adapters have one prefix, or
    none has any."""

    token_ids_KT: Tensor
    lengths: list[int]
    adapters: list[Adapter | None]
    cache: Any
    """The runner's own."""
    done: int = 0
    """Tokens of the padded length that have been through the model."""

    @property
    def is_done(self) -> bool:
        return self.done == self.token_ids_KT.shape[1]

    @property
    def num_left(self) -> int:
        """Tokens of the padded length that are still to go."""
        return self.token_ids_KT.shape[1] - self.done

    @property
    def prefix_length(self) -> int:
        """Tokens that the cache began with."""
        first = self.adapters[0]
        return 0 if first is None else first.prefix_length


class ModelRunner(Protocol):
    """Prefills prompts in caches of their own and decodes all rows together. Belongs to one thread."""

    @property
    def num_embeddings(self) -> int:
        """Token ids that the model takes: 0 to this less one."""
        ...

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill: ...

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        """Runs the next `num_tokens` positions. Returns float32 logits: with `keeps_all`, which is for a lone
        prompt, [1, T, V] of all of them, otherwise [K, V], after each row's last token; those mean something
        once `is_done`."""
        ...

    def add_row(self, prefill: Prefill, row: int) -> None:
        """Gives row `row` of a prefill that is done a place, as the last row of the batch."""
        ...

    def decode(self, tokens: Sequence[int]) -> Tensor:
        """Feeds one token to each of the first B rows and leaves the others as they are. Returns float32
        logits [B, V]."""
        ...

    def swap(self, row: int, other: int) -> None:
        """The two rows change places."""
        ...

    def release(self, row: int) -> None:
        """Frees a row; the last row moves to its place."""
        ...

    def clear(self) -> None:
        """Frees all rows."""
        ...
