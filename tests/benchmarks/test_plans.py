"""The comparison of plans with runs works. No test judges the figures."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.plans.page import table_lines, with_row

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]


def test_a_case_that_is_measured_again_replaces_its_row() -> None:
    page = f"Before\n<!-- measured: plans -->\n\n{LINES}\n\n<!-- end -->\nAfter\n"
    again = with_row(page, ["a", "1", "64", "10", "11", "1.10", "5"])
    assert again == page.replace("| a | 1 | 64 | 10 | 9 | 0.90 | 5 |", "| a | 1 | 64 | 10 | 11 | 1.10 | 5 |")
    more = with_row(page, ["a", "1", "128", "20", "21", "1.05", "5"])
    assert more == page.replace("\n\n<!-- end", "\n| a | 1 | 128 | 20 | 21 | 1.05 | 5 |\n\n<!-- end")


LINES = "\n".join(
    table_lines([["a", "1", "64", "10", "9", "0.90", "5"], ["b", "2", "64", "7", "7", "1.00", "5"]])
)


@pytest.mark.thorough
def test_planned_memory_is_compared_with_that_of_runs() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.plans", "--tiny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[1] for row in rows] == ["1", "2, `fsdp`"]
    for row in rows:
        planned, measured = (int(each.replace(",", "")) for each in row[3:5])
        assert planned > 0
        assert measured > 0
