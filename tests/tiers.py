"""Selects the cases that `make test` runs, and leaves the others to `make test-thorough`.

A case is thorough if it repeats, with more models, sizes or servers, what another case shows in less time."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], every_time: Collection[Any]) -> list[Any]:
    """Parameters for pytest: all cases. Those not in `every_time` are thorough."""
    return [case if case in every_time else _thorough(case) for case in cases]


def _thorough(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.thorough)
