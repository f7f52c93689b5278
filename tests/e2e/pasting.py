"""Runs examples of the documentation as if they were pasted, in a folder that looks like a clone."""

import code
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from openai.types.fine_tuning import FineTuningJob

from tests.documents import ROOT, Block, blocks
from tests.e2e.lifecycle import wait
from tests.e2e.server import Tunery

PORT = "8000"
ENCODER_FOLDER = "/models/bert"


class _Prompt(code.InteractiveConsole):
    """Python's interactive prompt, which runs a block line by line and fails if it cannot be pasted there."""

    def paste(self, block: Block) -> None:
        self.resetbuffer()
        self.filename = f"{block.place}, from its"
        for line in [*block.text.splitlines(), ""]:
            is_incomplete = self.push(line)
        assert not is_incomplete, block.place

    def showtraceback(self) -> None:
        raise

    def showsyntaxerror(self, filename: str | None = None, **_: object) -> None:
        raise


def examples_of(documents: Iterable[str]) -> list[Block]:
    """Examples to run, in the order of their documents. An example that two documents share appears only
    once."""
    found: dict[str, Block] = {}
    for document in documents:
        for block in blocks(document):
            if block.not_run is None and block.language in ("sh", "python"):
                found.setdefault(block.text, block)
    return list(found.values())


def paste(examples: list[Block], tunery: Tunery, monkeypatch: pytest.MonkeyPatch) -> list[FineTuningJob]:
    """Runs the examples as in a shell and, beside it, at Python's prompt. Checks that the jobs that they
    create succeed, and returns the jobs."""
    client = tunery.client()
    before = {job.id for job in client.fine_tuning.jobs.list()}
    prompt = _Prompt()
    for example in examples:
        if example.language == "python":
            prompt.paste(example)
        else:
            run(example, monkeypatch)
    jobs = [wait(client, job.id) for job in client.fine_tuning.jobs.list() if job.id not in before]
    assert [job.error for job in jobs if job.status != "succeeded"] == []
    return jobs


def with_our_places(examples: list[Block], *, port: int, encoder: Path) -> list[Block]:
    """Substitutes the test's port and encoder folder; nothing else in an example is changed."""
    return [
        replace(one, text=one.text.replace(PORT, str(port)).replace(ENCODER_FOLDER, str(encoder)))
        for one in examples
    ]


def parted(examples: list[Block], words: str) -> tuple[list[Block], list[Block]]:
    """Splits the examples into those that contain the words and those that do not."""
    chosen = [example for example in examples if words in example.text]
    return chosen, [example for example in examples if example not in chosen]


def clone_in(folder: Path) -> Path:
    clone = folder / "clone"
    clone.mkdir()
    for path in ROOT.iterdir():
        if path.name not in (".venv", ".git"):
            (clone / path.name).symlink_to(path)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    return clone


def run(example: Block, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the example in a shell, whose exports persist as in a terminal. Returns its output."""
    # Everything is already installed where the tests run.
    monkeypatch.setenv("MAKEFLAGS", "--assume-old=.venv/installed")
    command = ["sh", "-ec", f"{example.text}\nenv -0 > exported"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, f"{example.place}: {done.stdout}{done.stderr}"
    for variable in Path("exported").read_text().split("\0"):
        name, _, value = variable.partition("=")
        if name.startswith(("OPENAI_", "TUNERY_")):
            monkeypatch.setenv(name, value)
    return done.stdout
