"""A request in the engine's thread, and its sequences."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import GenerationEvent, GenerationRequest, Sampling
from cluster.serving.embedded.draw import SeenTokens
from cluster.serving.text.answer import ChoiceAnswer
from cluster.serving.text.guidance import Guide
from cluster.serving.text.prompts import TokenizedPrompt
from cluster.serving.weights.adapter import Adapter


@dataclass(eq=False)
class Request:
    """A request in the engine's thread, ready to run."""

    body: GenerationRequest
    prompt: TokenizedPrompt
    adapter: Adapter | None
    seed: int
    guide: Guide | None = None
    """Start state of the grammar, which every sequence forks; None without a grammar."""
    open_sequences: int = 0
    is_announced: bool = False
    """Whether the request's PromptEvent has been sent."""
    is_over: bool = False

    @property
    def id(self) -> str:
        return self.body.id

    @property
    def tenant(self) -> str:
        return self.body.tenant

    @property
    def sampling(self) -> Sampling:
        return self.body.sampling

    @cached_property
    def prompt_tokens(self) -> Tensor:
        """The prompt's distinct tokens, int64 on the CPU."""
        return torch.tensor(sorted(set(self.prompt.token_ids)), dtype=torch.int64)

    @property
    def must_score(self) -> bool:
        return not self.is_announced and self.sampling.echo and self.sampling.logprobs is not None


Output = tuple[Request, GenerationEvent | TuneryError | None]
"""An event of a request, or its end: an error or None."""


@dataclass(eq=False)
class Sequence:
    """One of a request's n completions."""

    request: Request
    index: int
    answer: ChoiceAnswer
    counts: Counter[int] = field(default_factory=Counter)
    """How often each token has been generated."""
    seen: SeenTokens | None = None
    """Set only with a repetition penalty."""
    last_token: int = 0

    @property
    def tenant(self) -> str:
        return self.request.tenant

    @property
    def is_over(self) -> bool:
        return self.answer.is_finished or self.request.is_over
