"""What every system is asked to do, and what is measured of it. Both cross processes as JSON."""

from dataclasses import dataclass, field

import numpy as np

from tests.benchmarks.training.chats import Lengths
from tests.benchmarks.training.shapes import Shape

MEDIUM = Shape(hidden=512, layers=8, intermediate=1536, heads=8, key_heads=4, vocab=32_000)

FIRST_WORD = 2
"""Token ids below are the padding and the end of text."""
PROMPTS = Lengths(median=64, spread=0.75, shortest=8, longest=512)
"""Questions of people, in tokens: many short ones, a few that are long."""


@dataclass(frozen=True, slots=True)
class Request:
    prompt: list[int]
    adapter: int
    """0 to the number of adapters less one."""


@dataclass(frozen=True, slots=True)
class Task:
    """At each level, bursts of that many greedy requests that arrive at once."""

    folder: str
    """The base model in transformers' format, its adapters and their storage, as `prepare` left them."""
    vocab: int
    context: int
    n_adapters: int = 8
    rank: int = 16
    new_tokens: int = 64
    levels: tuple[int, ...] = (1, 8, 32)
    repeats: int = 3
    """The one that took least is reported, as neighbours on a machine only ever add time."""
    lengths: Lengths = PROMPTS
    threads: int = 1
    seed: int = 0

    def bursts(self, level: int) -> list[list[Request]]:
        """The first requests of one list for every level: a burst, or of a small level several."""
        n_bursts = max(1, 8 // level)
        requests = self.requests()[: n_bursts * level]
        return [requests[start : start + level] for start in range(0, len(requests), level)]

    def requests(self) -> list[Request]:
        """Adapters take turns, so that a burst has as many of each as it can."""
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
    """One level of one system."""

    tokens: int
    """Generated."""
    seconds: float
    """Of all this process's CPUs, user and system."""
    first_tokens: list[float]
    """CPU-seconds from a burst's arrival to each request's first token."""
    outputs: list[list[int]] = field(default_factory=list)
    """The generated words of each request; tokens below FIRST_WORD, which are no text, are left out."""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    def first_token(self, percentile: float) -> float:
        return float(np.percentile(self.first_tokens, percentile))
