"""Makes chats from a seed. Like people's chats, many are short and a few are long."""

from dataclasses import dataclass

import numpy as np

IGNORED = -100
"""The label of tokens that do not count in the loss."""

FIRST_WORD = 6
"""Lower token ids are the tokenizer's special tokens."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A question and its answer, tokenised."""

    token_ids: list[int]
    labels: list[int]
    """The token ids in the answer, IGNORED in the question."""

    @property
    def n_learned(self) -> int:
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal distribution, clipped at both ends."""

    median: float
    spread: float
    """Standard deviation of the logarithm. If 0, every chat has the median length."""
    shortest: int
    longest: int


SKEWED = Lengths(median=65, spread=0.75, shortest=16, longest=1024)


def make_chats(n_chats: int, *, vocab: int, lengths: Lengths = SKEWED, seed: int = 0) -> list[Chat]:
    """Makes chats of which about a third of the tokens are answers.

    Word frequencies follow Zipf's law, so that there is something to learn.
    """
    random = np.random.default_rng(seed)
    frequencies = 1.0 / np.arange(2, vocab - FIRST_WORD + 2)
    frequencies /= frequencies.sum()
    chats = []
    for _ in range(n_chats):
        drawn = random.lognormal(np.log(lengths.median), lengths.spread)
        length = round(float(np.clip(drawn, lengths.shortest, lengths.longest)))
        n_answer = max(1, round(length * random.uniform(1 / 6, 1 / 2)))
        words = FIRST_WORD + random.choice(vocab - FIRST_WORD, size=length, p=frequencies)
        token_ids = [int(word) for word in words]
        chats.append(Chat(token_ids, [IGNORED] * (length - n_answer) + token_ids[-n_answer:]))
    return chats
