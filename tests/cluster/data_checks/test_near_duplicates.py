"""Near duplicates are found as their similarity says, and in bounded memory."""

from collections.abc import Iterator
from random import Random

import pytest

from cluster.contracts.jsonl import CheckedLine, parse_row
from cluster.data_checks.duplicates import Duplicates
from cluster.data_checks.findings import Findings
from cluster.data_checks.near_duplicates import THRESHOLD, NearDuplicates
from cluster.data_checks.signatures import SIGNATURE_BYTES, signature, similarity
from cluster.data_checks.texts import texts_of
from tests.cluster.data_checks.made_up import made_up_rows
from tests.tiers import sampled

WORDS = [f"word{number}" for number in range(3000)]


@pytest.mark.parametrize("words", sampled([40, 100], [40]))
def test_precision_and_recall_on_copies_with_other_words(words: int) -> None:
    """Copies within 0.05 of the threshold are counted as neither."""
    near, alike, unlike = NearDuplicates(3000), set(), set()
    for number, made in enumerate(made_up_rows(3000, words=words, share_of_copies=0.3), start=1):
        near.add(number, texts_of(parse_row(made.line.strip())).content)
        if made.similarity >= THRESHOLD + 0.05:
            alike.add(number)
        elif made.similarity < THRESHOLD - 0.05:
            unlike.add(number)
    found = set(near.find()[0])
    assert len(alike) > 100
    recall, precision = len(found & alike) / len(alike), 1 - len(found & unlike) / len(found)
    assert recall >= 0.97
    assert precision >= 0.94


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("length", [10, 40, 400])
def test_the_estimate_is_close_to_the_true_similarity(share: float, length: int) -> None:
    random, errors = Random(0), []
    for _ in range(60):
        one = random.sample(WORDS, length)
        other = one[: int(share * length)] + random.sample(WORDS, length - int(share * length))
        pairs = [set(zip(text, text[1:], strict=False)) for text in (one, other)]  # noqa: RUF007
        a, b = (signature(" ".join(text)) for text in (one, other))
        assert a is not None
        assert b is not None
        errors.append(similarity(a.bins, b.bins) - len(pairs[0] & pairs[1]) / len(pairs[0] | pairs[1]))
    assert abs(sum(errors) / len(errors)) < 0.03
    assert (sum(error**2 for error in errors) / len(errors)) ** 0.5 < 0.06


def test_case_and_punctuation_do_not_matter_and_scripts_without_spaces_have_words() -> None:
    near = NearDuplicates(10)
    near.add(1, "The quick brown fox jumps over the lazy dog today.")
    near.add(2, "the QUICK brown fox: jumps over the lazy dog, today!")
    near.add(3, "您的订单已经在星期二从仓库发出预计明天送达")
    near.add(4, "您的订单已经在星期二从仓库发出,预计明天送达了")
    near.add(5, "too short")
    near.add(6, "too short")
    assert near.find() == ({2: 1, 4: 3}, {})


def test_rows_beyond_the_most_are_counted_and_not_kept() -> None:
    near = NearDuplicates(4)
    for number in range(1, 10):
        near.add_validation(number, " ".join(WORDS[number * 20 : number * 20 + 20]))
    for number in range(1, 10):
        near.add(number, " ".join(WORDS[number * 20 : number * 20 + 20]))
    assert near.find() == ({}, {1: 1, 2: 2})
    assert (near.num_checked, near.num_skipped) == (2, 7)
    assert len(near._bins) == 4 * SIGNATURE_BYTES


def rows(count: int) -> Iterator[CheckedLine]:
    for number in range(1, count + 1):
        content = b'{"prompt": "p%d", "completion": "c%d"}' % (number, number)
        yield CheckedLine(number, content, parse_row(content), [])


def test_a_sample_of_the_prompts_still_finds_all_its_duplicates() -> None:
    duplicates, findings = Duplicates(most=100), Findings()
    lines = list(rows(400))
    for line in [*lines, *(line._replace(number=line.number + 400) for line in lines)]:
        assert line.row is not None
        duplicates.see(line, texts_of(line.row), findings)
    (sampled,) = duplicates.finish(findings)
    (found,) = findings.findings()
    assert found.code == "exact_duplicate"
    assert all(place.related_line == place.line - 400 for place in found.places)
    # One of four or eight digests is remembered.
    assert 20 <= found.count <= 100
    assert (sampled.n_rows, sampled.n_checked) in {(800, 200), (800, 100)}
