"""Training files of made-up words, with known near duplicates."""

import json
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import NamedTuple

_SYLLABLES = (
    "ba",
    "cor",
    "del",
    "fi",
    "gan",
    "hu",
    "lor",
    "mi",
    "nes",
    "pra",
    "que",
    "ri",
    "sto",
    "tu",
    "ven",
    "zo",
)


class Made(NamedTuple):
    line: bytes
    original: int | None
    """The line, from 1, of which this one is a copy with a few other words."""
    similarity: float
    """Jaccard similarity with the original of the pairs of neighbouring words; 0 without an original."""


def made_up_rows(
    num_rows: int, *, words: int = 100, share_of_copies: float = 0.1, seed: int = 0
) -> Iterator[Made]:
    """Yields chat rows. Copies differ from their original in none to a fifth of the words."""
    random = Random(seed)
    vocabulary = ["".join(random.choices(_SYLLABLES, k=random.randint(1, 4))) for _ in range(5_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    kept: list[tuple[int, list[str]]] = []
    for number in range(1, num_rows + 1):
        if kept and random.random() < share_of_copies:
            original, old = random.choice(kept)
            rate = random.choice((0.0, 0.02, 0.05, 0.2))
            new = [random.choice(vocabulary) if random.random() < rate else word for word in old]
            # One word at least, or the row would be an exact copy.
            new[random.randrange(len(new))] = f"word{number}"
            yield Made(_line(new), original, _jaccard(old, new))
            continue
        new = random.choices(vocabulary, weights, k=max(12, int(random.gauss(words, words / 3))))
        if len(kept) < 2_000:
            kept.append((number, new))
        yield Made(_line(new), None, 0.0)


def _line(words: list[str]) -> bytes:
    half = len(words) // 2
    messages = [
        {
            "role": "system",
            "content": "You continue made-up texts, whatever they are about, with a few words.",
        },
        {"role": "user", "content": " ".join(words[:half])},
        {"role": "assistant", "content": " ".join(words[half:])},
    ]
    return json.dumps({"messages": messages}).encode() + b"\n"


def _jaccard(one: list[str], other: list[str]) -> float:
    a, b = set(pairwise(one)), set(pairwise(other))
    return len(a & b) / len(a | b)
