"""How one row of a batch picks its next token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cluster.contracts.generation import Sampling


class SeenTokens:
    """The distinct tokens of a prompt and its answer, which a repetition penalty applies to."""

    def __init__(self, prompt: Sequence[int], *, max_tokens: int) -> None:
        """`max_tokens` is the most that the answer may have."""
        distinct = list(dict.fromkeys(prompt))
        self._known = set(distinct)
        # One buffer, so that a step costs no conversion of the whole list.
        self._buffer = torch.empty(len(distinct) + max_tokens, dtype=torch.int64)
        self._buffer[: len(distinct)] = torch.tensor(distinct, dtype=torch.int64)

    def add(self, token: int) -> None:
        if token not in self._known:
            self._buffer[len(self._known)] = token
            self._known.add(token)

    @property
    def tokens(self) -> Tensor:
        """int64 [S], on the CPU. A view, valid until the next `add`."""
        return self._buffer[: len(self._known)]


@dataclass(frozen=True, slots=True)
class Draw:
    sampling: Sampling
    seed: int
    choice: int
    """Which of the request's n choices."""
    position: int
    """Number of tokens that the choice already has."""
    counts: Mapping[int, int]
    """How often each token has been generated in this choice; only used for presence and frequency
    penalties."""
    seen: SeenTokens | None = None
    """Only for rows with a repetition penalty."""
    forbidden: frozenset[int] = frozenset()
    """Tokens that would end the choice too early."""
