"""Texts that callers choose take about linear time: a pattern that backtracks would hold the interpreter's
lock, and so stop all requests, for minutes or hours."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import pytest

from cluster.contracts.errors import InvalidRequest
from cluster.egress.destinations import EgressPolicy, UrlNotAllowed
from cluster.grading.formula import Formula, FormulaError
from cluster.grading.similarity import METRICS
from cluster.grading.templates import MAX_TEXT, check_template, render
from service.api.http.strict_json import loads

LIMIT_SECONDS = 30
"""Linear work takes milliseconds."""


@pytest.fixture(autouse=True)
def _must_end() -> Iterator[None]:
    def fail(_: int, __: FrameType | None) -> NoReturn:
        pytest.fail(f"This took longer than {LIMIT_SECONDS} seconds.")

    # Regular expressions look for signals while they match.
    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def pumped(before: str, piece: str, after: str, length: int) -> str:
    """`piece` repeated between the others, `length` characters in all."""
    return before + (piece * length)[: length - len(before) - len(after)] + after


TEMPLATES = [
    ("{{", " ", ""),
    ("{{ ", "\n", " }"),
    ("{{", " ", "}}"),
    ("", "{{", ""),
    ("", "{{ ", "}}"),
    ("", "{{ }", ""),
    ("{{item", ".a", "!}}"),
    ("{{item", "[0]", "!}}"),
    ("{{item['", "a", "}}"),
    ("{{item", "['", "}}"),
    ("{{", "a", "}}"),
]


@pytest.mark.parametrize(("before", "piece", "after"), TEMPLATES)
def test_templates_of_graders(before: str, piece: str, after: str) -> None:
    text = pumped(before, piece, after, MAX_TEXT)
    try:
        check_template(text)
    except ValueError:
        return
    assert render(text, {}) == text


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("piece", ["a", "a ", "y", "!", "ing", "漢"])
def test_texts_to_compare(metric: str, piece: str) -> None:
    text = pumped("", piece, "", MAX_TEXT)
    assert 0 <= METRICS[metric](text, text[::-1]) <= 1


@pytest.mark.parametrize("piece", ["1", ".", "a", " ", "-", "(", "1.", "1e", "min("])
def test_formulas(piece: str) -> None:
    with suppress(FormulaError):
        Formula(pumped("", piece, "", 1000))


BODIES = [
    ('"', "\\\\", ""),
    ('"', '\\"', ","),
    ('["', '\\"', "\\"),
    ("", '"', ","),
    ("", '"a', ""),
    ("", "[", ""),
    ("[", " ", ""),
    ("", "[1,", ""),
    ("[", "-", ""),
]


@pytest.mark.parametrize(("before", "piece", "after"), BODIES)
def test_bodies(before: str, piece: str, after: str) -> None:
    # Only bodies with many commas are looked through before they are parsed.
    body = pumped(before, piece, "," * 100_000 + after, 1_100_000).encode()
    with pytest.raises(InvalidRequest):
        loads(body)


@pytest.mark.parametrize(
    "piece", ["a", "a.", "-", "a-", "1.", "0x", "f", "[", ":", "%", "@", "é", "é.", "\u200d"]
)
def test_urls(piece: str) -> None:
    url = pumped("https://", piece, "", 2048)
    with pytest.raises(UrlNotAllowed):
        EgressPolicy().check_url(url)
