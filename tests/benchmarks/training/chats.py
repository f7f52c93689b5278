"""Chats whose lengths are skewed as people's are: many short ones, a few that are long. Made from a seed."""

from dataclasses import dataclass

import numpy as np

IGNORED = -100
"""The label of a token that is not learned."""

FIRST_WORD = 6
"""Token ids below are the tokenizer's special ones."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A question and its answer, tokenised."""

    token_ids: list[int]
    labels: list[int]
    """The answer's token ids, and IGNORED for the question's."""

    @property
    def n_learned(self) -> int:
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Log-normal, cut at both ends."""

    median: float
    spread: float
    """Standard deviation of the logarithm; 0 gives every chat the median's length."""
    shortest: int
    longest: int


SKEWED = Lengths(median=65, spread=0.75, shortest=16, longest=1024)


def make_chats(n_chats: int, *, vocab: int, lengths: Lengths = SKEWED, seed: int = 0) -> list[Chat]:
    """A third of all tokens are answers. Words are as frequent as their rank says (Zipf), so that there is
    something to learn."""
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
