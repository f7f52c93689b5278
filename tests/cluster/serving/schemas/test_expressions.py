"""Patterns are compiled within limits, and mean what they mean to the standard library."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.serving.schemas.expressions import MAX_SIZE, Expressions
from cluster.serving.schemas.references import SchemaError


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(?!.*\s)(?=.*\d).{4,}$",
        r"(?<!a)(?<=b)c|(?P<x>a)b",
        r"(?:a|b){2,3}c{2}",
        r"[]a{9}]+$",
        r"[^\]ab]{2}",
        r"(?i:AB)|(?i-s:c)",
        r"a\{e<=1}|\(\?R",
        r"{.*}",
    ],
)
@given(text=st.text("abcAB01 {}e<=(?R]9", max_size=12))
def test_patterns_find_what_the_standard_library_finds(pattern: str, text: str) -> None:
    assert bool(Expressions().compiled(pattern).search(text)) == bool(re.search(pattern, text))


def test_patterns_that_begin_with_flags_or_name_categories_are_read() -> None:
    assert Expressions().compiled(r"(?i)^\p{L}+$").search("aÉ")
    assert Expressions().compiled(r"(?<x>a)").search("a")


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("a{1000000000}", 1_000_000_000),
        ("(a|b){3000}", 12_000),
        ("(?:a{200}){ 200 , }", 40_400),
        ("a{200}{200}", 40_000),
        ("a?" * 6000, 12_000),
        ("[" + "ab" * 6000 + "]", 12_002),
    ],
)
def test_a_pattern_that_grows_large_is_refused_before_it_is_compiled(pattern: str, size: int) -> None:
    with pytest.raises(SchemaError, match=f"have {size} parts .* {MAX_SIZE} are allowed"):
        Expressions().compiled(pattern)


def test_a_pattern_that_may_repeat_often_is_not_large() -> None:
    assert Expressions().compiled(r"^[\s\S]{0,100000}$").search("a")


def test_the_patterns_of_a_schema_count_together_and_each_once() -> None:
    expressions = Expressions()
    for _ in range(3):
        expressions.compiled("a{6000}")
    with pytest.raises(SchemaError, match="have 12000 parts"):
        expressions.compiled("b{6000}")


@pytest.mark.parametrize(
    "pattern",
    [
        "(?R)",
        "(?|(a)|(b))",
        "(a)(?1)",
        "(?P<x>a)(?&x)",
        "(?b)a",
        "(?x)a {9}",
        "(?V1)[[a]]",
        "(?(?=a)b|c)",
        "(?>a)",
    ],
)
def test_syntax_of_the_library_alone_is_refused(pattern: str) -> None:
    with pytest.raises(SchemaError, match="which patterns of JSON Schema do not have"):
        Expressions().compiled(pattern)


@pytest.mark.parametrize("pattern", ["a{e}", "(?:ab){e<=1}", "a{1<=s<3}", "a{i,d}"])
def test_approximate_counts_are_refused(pattern: str) -> None:
    with pytest.raises(SchemaError, match="begins no count"):
        Expressions().compiled(pattern)


@pytest.mark.parametrize("pattern", ["(", ")", "\\", "[", "(" * 4000 + ")" * 4000])
def test_what_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(SchemaError, match="cannot be read"):
        Expressions().compiled(pattern)
