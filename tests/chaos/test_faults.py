"""The order of faults."""

import random
from collections import Counter

from tests.chaos.faults import Draws, FaultKind
from tests.chaos.installation import Installation

INSTALLATION: Installation = None  # type: ignore[assignment]  # None of these faults breaks anything.


def kind(name: str, weight: int = 1, *, times: int = 1_000) -> FaultKind:
    """One that finds something to break so many times."""
    left = iter(range(times))
    return FaultKind(name, weight, lambda _installation, _rng: next(left, None) is not None)


def drawn(kinds: list[FaultKind], seed: int, count: int) -> list[str | None]:
    draws = Draws(kinds, random.Random(seed))
    struck = [draws.strike(INSTALLATION) for _ in range(count)]
    return [None if each is None else each.name for each in struck]


def test_each_fault_comes_once_before_any_comes_again_and_then_by_weight() -> None:
    kinds = [kind("rare"), kind("common", 9), kind("usual", 5)]
    names = drawn(kinds, 1, 303)
    assert set(names[:3]) == {"rare", "common", "usual"}
    counts = Counter(names[3:])
    assert counts["common"] > counts["usual"] > counts["rare"] > 0
    assert {tuple(drawn(kinds, seed, 3)) for seed in range(20)} != {tuple(names[:3])}


def test_a_fault_that_finds_nothing_to_break_comes_later() -> None:
    late = iter([False, False, True])
    kinds = [FaultKind("late", 0, lambda _installation, _rng: next(late, False)), kind("always")]
    assert drawn(kinds, 1, 4).count("late") == 1


def test_nothing_is_counted_if_nothing_can_be_broken() -> None:
    assert drawn([kind("never", times=0)], 1, 2) == [None, None]
