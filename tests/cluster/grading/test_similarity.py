import json
import math
from pathlib import Path

import pytest

from cluster.grading.similarity import METRICS
from cluster.grading.templates import MAX_TEXT

GOLDEN = json.loads((Path(__file__).parent / "golden_similarity.json").read_text())
"""By other libraries, of the same words: nltk 3.10.4 for BLEU (smoothing method 2), GLEU and METEOR (Porter
stems, no synonyms), and rouge-score 0.1.2. BLEU of fewer than four words is sacrebleu's (`add-k` with 1)."""


@pytest.mark.parametrize("metric", sorted(METRICS.keys() - {"fuzzy_match"}))
def test_a_metric_agrees_with_another_library(metric: str) -> None:
    for row in GOLDEN:
        assert METRICS[metric](row["text"], row["reference"]) == pytest.approx(row[metric], abs=1e-8), row


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_between_0_and_1_and_1_for_the_same_text(metric: str) -> None:
    for row in GOLDEN:
        assert 0 <= METRICS[metric](row["text"], row["reference"]) <= 1
    text = "all of these words are different from each other"
    assert METRICS[metric](text, text) == pytest.approx(1, abs=0.01)
    assert METRICS[metric]("", text) == 0
    assert METRICS[metric](text, "") == 0


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        # Found and possible n-grams, each plus one from 2-grams on: 1/1 · 1/1 · 1/1 · 1/1.
        ("Paris", "Paris", 1.0),
        # 2/2 · (1 + 1)/(1 + 1) · 1/1 · 1/1, shorter than the reference by a third.
        ("in Paris", "in Paris today", math.exp(1 - 3 / 2)),
        # 2/3 · (1 + 1)/(2 + 1) · (0 + 1)/(1 + 1) · 1/1.
        ("the red cat", "the red dog", (2 / 3 * 2 / 3 * 1 / 2) ** (1 / 4)),
    ],
)
def test_bleu_adds_one_to_what_is_possible_as_to_what_is_found(
    text: str, reference: str, expected: float
) -> None:
    assert METRICS["bleu"](text, reference) == pytest.approx(expected)


def test_combining_vowels_are_part_of_their_words() -> None:
    assert METRICS["rouge_1"]("हिन्दी में", "हन्दा मों") == 0
    assert METRICS["rouge_1"]("मैं हिन्दी बोलता हूँ", "मैं हिन्दी बोलती हूँ") == pytest.approx(3 / 4)
    assert METRICS["rouge_2"]("cafe\u0301 noir", "cafe\u0301 noir") == 1


def test_fuzzy_match_counts_the_characters_that_differ() -> None:
    fuzzy_match = METRICS["fuzzy_match"]
    assert fuzzy_match("abcd", "abcd") == 1
    assert fuzzy_match("abcd", "abce") == pytest.approx(1 - 2 / 8)
    assert fuzzy_match("abcd", "xyz") == 0


def test_characters_of_scripts_without_spaces_are_words() -> None:
    assert METRICS["rouge_1"]("猫在垫子上", "狗在垫子上") == pytest.approx(0.8)
    assert METRICS["rouge_1"]("Grüße aus Köln", "grüße nach köln") == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", METRICS)
def test_the_longest_texts_are_graded(metric: str) -> None:
    one, other = ("a " * MAX_TEXT)[:MAX_TEXT], ("b a " * MAX_TEXT)[: MAX_TEXT // 2]
    assert 0 <= METRICS[metric](one, other) < 1
