"""How one row of a batch picks its next token."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cluster.contracts.generation import Sampling


class SeenTokens:
    """The tokens of a prompt and its answer so far, to which a repetition penalty applies."""

    def __init__(self, prompt_P: Tensor, *, max_tokens: int) -> None:
        """`prompt_P`, int64 on the CPU, may be shared. The answer has at most `max_tokens` tokens."""
        self._prompt_P = prompt_P
        # One buffer, so that a step does not convert the whole answer.
        self._answer = torch.empty(max_tokens, dtype=torch.int64)
        self._num_answered = 0

    def add(self, token: int) -> None:
        self._answer[self._num_answered] = token
        self._num_answered += 1

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        """The tokens of the prompt and of the answer, int64 on the CPU. A token may come several times."""
        return self._prompt_P, self._answer[: self._num_answered]


@dataclass(frozen=True, slots=True)
class Draw:
    sampling: Sampling
    seed: int
    choice: int
    """Index of the choice among the request's n choices."""
    position: int
    """Number of tokens that the choice already has."""
    counts: Mapping[int, int]
    """How often each token has been generated in this choice. Only used for presence and frequency
    penalties."""
    seen: SeenTokens | None = None
    """Set only for rows with a repetition penalty."""
    forbidden: frozenset[int] = frozenset()
    """Tokens that would end the choice too early."""
