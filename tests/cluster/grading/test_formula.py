import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.grading.formula import Formula, FormulaError

SCORES = {"a": 0.5, "b": 0.25, "_c1": 2.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("a + b", 0.75),
        ("(a + b) / 2", 0.375),
        ("0.5 * a + 0.5 * b", 0.375),
        ("a - b - b", 0.0),
        ("1 / 2 / 2", 0.25),
        ("2 ^ 3 ^ 2", 512),
        ("-2 ^ 2", -4),
        ("2 ^ -1", 0.5),
        ("--a", 0.5),
        ("+-+a", -0.5),
        ("2 * -3", -6),
        ("1e3 + .5 + 1.", 1001.5),
        ("_c1*_c1", 4),
        ("min(a, b, 7)", 0.25),
        ("max(a)", 0.5),
        ("abs(b - a)", 0.25),
        ("floor(1.7) + ceil(1.2)", 3),
        ("exp(0) + sqrt(4) + log(1)", 3),
        ("log(exp(2))", 2),
        ("max(min(a, b), a ^ 2) * 4", 1),
    ],
)
def test_formulas_are_ordinary_arithmetic(text: str, value: float) -> None:
    assert Formula(text)(SCORES) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "a +",
        "a b",
        "1 2",
        "(a",
        "a)",
        "min()",
        "min(a",
        "min(a,)",
        "abs(a, b)",
        "pow(a, b)",
        "a ** b",
        "a // b",
        "a % b",
        "a == b",
        "a if b else 0",
        "a.b",
        "a[0]",
        "'x'",
        "lambda: 0",
        "a; b",
        "__import__('os')",
        "(" * 40 + "a" + ")" * 40,
        "2" + "^2" * 40,
        "a" * 1001,
        "é",
        "1..2",
        "@",
        "a,b",
    ],
)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        Formula(text)


def test_a_formula_names_its_graders() -> None:
    assert Formula("a + min(b, a) * 2").names == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / (a - a)", "divides by zero"),
        ("log(0)", "no finite"),
        ("sqrt(-1)", "no finite"),
        ("exp(1000)", "no finite"),
        ("10 ^ 400", "no finite"),
        ("(-8) ^ 0.5", "no finite"),
        ("0 ^ -1", "no finite"),
        ("1e308 * 10 - 1e308 * 10", "no finite"),
        ("floor(1e308 * 10)", "no finite"),
    ],
)
def test_what_has_no_finite_value_says_so(text: str, reason: str) -> None:
    with pytest.raises(FormulaError, match=reason):
        Formula(text)(SCORES)


@given(st.text(alphabet="ab0123456789.+-*/^(), minmaxlogexp", max_size=60))
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    try:
        formula = Formula(text)
        if formula.names <= SCORES.keys():
            assert math.isfinite(formula(SCORES))
    except FormulaError:
        pass
