"""Measures how alike two texts are, from 0 to 1. Every metric takes the graded text and the reference.

Words are letters with their marks, and digits; each character of a script without spaces, such as Chinese,
Japanese or Thai, is a word. BLEU, GLEU and METEOR also count punctuation."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import Any

import snowballstemmer
from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq

from cluster.contracts.words import WORD, words_of

_TOKENS = re.compile(rf"{WORD}|[^\w\s]|_")
Metric = Callable[[str, str], float]


def fuzzy_match(text: str, reference: str) -> float:
    """rapidfuzz's `ratio`: 1 minus the number of characters to insert and delete, divided by the total number
    of characters."""
    return fuzz.ratio(text, reference) / 100


def bleu(text: str, reference: str) -> float:
    """BLEU of one sentence up to 4-grams (Papineni et al. 2002), adding one to the counts of 2-grams and up
    so that short texts do not all score 0 (Lin and Och 2004)."""
    words, wanted = _tokens(text), _tokens(reference)
    if not words:
        return 0.0
    logarithms = 0.0
    for n in range(1, 5):
        found, total, _ = _overlap(words, wanted, n)
        smoothing = 1 if n > 1 else 0
        if found + smoothing == 0:
            return 0.0
        logarithms += math.log((found + smoothing) / (total + smoothing)) / 4
    return math.exp(min(0.0, 1 - len(wanted) / len(words)) + logarithms)


def gleu(text: str, reference: str) -> float:
    """Google's BLEU: the smaller of precision and recall over all 1- to 4-grams (Wu et al. 2016)."""
    words, wanted = _tokens(text), _tokens(reference)
    counts = [_overlap(words, wanted, n) for n in range(1, 5)]
    found, total, possible = (sum(column) for column in zip(*counts, strict=True))
    return float(found / max(total, possible, 1))


def meteor(text: str, reference: str) -> float:
    """METEOR (Banerjee and Lavie 2005) with its matches of equal words and of equal stems, not of synonyms:
    those need WordNet. The recall counts nine times the precision; a match in pieces loses up to half."""
    words, wanted = (_tokens(one.lower()) for one in (text, reference))
    matches = _alignment(words, wanted)
    if not matches:
        return 0.0
    precision, recall = len(matches) / len(words), len(matches) / len(wanted)
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    chunks = 1 + sum((after[0] - at[0], after[1] - at[1]) != (1, 1) for at, after in pairwise(matches))
    return mean * (1 - 0.5 * (chunks / len(matches)) ** 3)


def rouge_n(text: str, reference: str, *, n: int) -> float:
    """ROUGE-N's F1: n-grams in common (Lin 2004), whatever their case."""
    return _f1(*_overlap(words_of(text.lower()), words_of(reference.lower()), n))


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L's F1: the longest common subsequence of words (Lin 2004), whatever their case."""
    words, wanted = words_of(text.lower()), words_of(reference.lower())
    return _f1(LCSseq.similarity(words, wanted), len(words), len(wanted))


METRICS: Mapping[str, Metric] = {
    "fuzzy_match": fuzzy_match,
    "bleu": bleu,
    "gleu": gleu,
    "meteor": meteor,
    **{f"rouge_{n}": partial(rouge_n, n=n) for n in range(1, 6)},
    "rouge_l": rouge_l,
}


def _tokens(text: str) -> list[str]:
    return words_of(text, _TOKENS)


def _overlap(words: Sequence[str], wanted: Sequence[str], n: int) -> tuple[int, int, int]:
    """Returns the number of n-grams in common, in `words`, and in `wanted`."""
    ours, theirs = _ngrams(words, n), _ngrams(wanted, n)
    return (ours & theirs).total(), ours.total(), theirs.total()


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _f1(common: int, ours: int, theirs: int) -> float:
    return 2 * common / (ours + theirs) if common else 0.0


def _alignment(words: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, int]]:
    """Returns positions of words that match, each word once: equal words first, then equal stems. Ordered by
    the position in `words`."""
    matches: list[tuple[int, int]] = []
    ours, theirs = dict(enumerate(words)), dict(enumerate(wanted))
    for form in (str, _stem):
        places: dict[str, list[int]] = {}
        for place, word in theirs.items():
            places.setdefault(form(word), []).append(place)
        for place, word in reversed(list(ours.items())):
            if found := places.get(form(word)):
                matches.append((place, found.pop()))
                del ours[place], theirs[matches[-1][1]]
    return sorted(matches)


def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    return snowballstemmer.stemmer("porter")
