"""The script for one GPU, rehearsed in small. No test judges its speeds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.gpu.__main__ import PARTS

pytestmark = [pytest.mark.benchmark, pytest.mark.thorough]

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--small", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_every_part_finds_what_it_expects() -> None:
    # Compiling takes a minute, and needs a C compiler.
    parts = [part for part in PARTS if part != "compiled"]
    status, lines = run("--only", *parts)
    assert [line for line in lines if not line["ok"]] == []
    assert {line["part"] for line in lines} == set(parts)
    assert status == 0


def test_a_part_that_takes_too_long_ends_no_other() -> None:
    status, lines = run("--only", "attention", "head", "--seconds", "0.1")
    assert [(line["part"], line["ok"]) for line in lines] == [("attention", False), ("head", False)]
    assert "not done after" in lines[0]["error"]
    assert status == 1
