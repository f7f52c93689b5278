"""Patterns with look-around become patterns without."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.contracts.patterns import regular_patterns

DECIMAL = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"
PASSWORD = r"^(?=.*[0-9])(?=.*[a-z])[a-z0-9]{2,8}$"
DIGITS = r"^(?!^[-+.]*$)[+-]?0*(?:\d{0,3}|(?=[\d.]{1,6}0*$)\d{0,3}\.\d{0,2}0*)$"
PATTERNS = [
    DECIMAL,
    PASSWORD,
    DIGITS,
    r"^(?=a)(?=.b)(?=a)(?!^[ab]*$)",
    r"^a(?!b).c$",
    r"(?<=a)b",
    r"^(?!a)[ab]+$",
    r"^[(?=]+$",
    r"^\(?=a$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text("ab01.+-=?( ", max_size=8))
def test_the_patterns_match_whatever_the_original_does_and_no_more_if_exact(pattern: str, text: str) -> None:
    patterns, is_exact = regular_patterns(pattern)
    is_match = all(re.search(one, text) for one in patterns)
    if re.search(pattern, text):
        assert is_match
    elif is_exact:
        assert not is_match


@pytest.mark.parametrize("pattern", [DECIMAL, PASSWORD, r"^[(?=]+$", r"^\(?=a$", "^a+$"])
def test_common_look_aheads_lose_nothing(pattern: str) -> None:
    patterns, is_exact = regular_patterns(pattern)
    assert is_exact
    assert not any(look in one for one in patterns for look in ("(?!", "(?<"))


@pytest.mark.parametrize("pattern", [r"^(a)\1$", r"^(?P<x>a)\k<x>$"])
def test_a_back_reference_is_left_to_be_checked(pattern: str) -> None:
    assert regular_patterns(pattern) == ([], False)


@pytest.mark.parametrize("pattern", ["(?=", "(?=(", "[(?=", "(?!\\", "^(?=", "^(?!^["])
def test_an_invalid_pattern_is_returned_unchanged(pattern: str) -> None:
    regular_patterns(pattern)


def test_each_pattern_of_a_look_ahead_comes_once() -> None:
    assert regular_patterns("^(?=a)(?=b)(?=a)a") == (["^a", "^(?:a)", "^(?:b)"], True)
