"""The task of every system and the measurement of it. Both are sent between processes as JSON."""

from dataclasses import dataclass, field

import numpy as np

from tests.benchmarks.training.chats import Lengths
from tests.benchmarks.training.shapes import Shape

MEDIUM = Shape(hidden=512, layers=8, intermediate=1536, heads=8, key_heads=4, vocab=32_000)

FIRST_WORD = 2
"""Lower token ids are padding and the end of text."""
PROMPTS = Lengths(median=64, spread=0.75, shortest=8, longest=512)
"""Lengths of people's questions, in tokens: many are short, a few are long."""


@dataclass(frozen=True, slots=True)
class Request:
    prompt: list[int]
    adapter: int
    """Index of the adapter, from 0."""


@dataclass(frozen=True, slots=True)
class Task:
    """Bursts of greedy requests. The level is the number of requests that arrive at once."""

    folder: str
    """The base model in transformers' format, its adapters and their storage, as `prepare` saves them."""
    vocab: int
    context: int
    n_adapters: int = 8
    rank: int = 16
    new_tokens: int = 64
    levels: tuple[int, ...] = (1, 8, 32)
    repeats: int = 3
    """Runs of each level. The fastest is reported, as other load on the machine can only add time."""
    lengths: Lengths = PROMPTS
    threads: int = 1
    seed: int = 0

    def bursts(self, level: int) -> list[list[Request]]:
        """One burst of the first `level` requests, or several of a small level. All levels share one list."""
        n_bursts = max(1, 8 // level)
        requests = self.requests()[: n_bursts * level]
        return [requests[start : start + level] for start in range(0, len(requests), level)]

    def requests(self) -> list[Request]:
        """Deals adapters out in turn, so that a burst mixes as many as possible."""
        random = np.random.default_rng(self.seed)
        n_requests = max(8, *self.levels)
        drawn = random.lognormal(np.log(self.lengths.median), self.lengths.spread, n_requests)
        lengths = np.clip(drawn.round(), self.lengths.shortest, self.lengths.longest).astype(int)
        return [
            Request(random.integers(FIRST_WORD, self.vocab, length).tolist(), place % self.n_adapters)
            for place, length in enumerate(lengths)
        ]


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measurement of one system at one level."""

    tokens: int
    """Number of generated tokens."""
    seconds: float
    """CPU-seconds of the whole process, user and system."""
    first_tokens: list[float]
    """CPU-seconds from a burst's arrival to each request's first token."""
    outputs: list[list[int]] = field(default_factory=list)
    """The generated words of each request, without the tokens below FIRST_WORD, which have no text."""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    def first_token(self, percentile: float) -> float:
        return float(np.percentile(self.first_tokens, percentile))
