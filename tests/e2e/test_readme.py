"""Every example of README.md, of the documentation and of the Python client's README runs as pasted.

In a folder that looks like a clone, with a `tunery up` that README's own command starts. The port and the
folder of the encoder are this test's; nothing else in a block is changed.
"""

import code
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.ports import free_ports
from tests.documents import ROOT, RUN, Block, blocks
from tests.e2e.lifecycle import wait
from tests.e2e.server import Tunery, started
from tests.families import make_family

pytestmark = pytest.mark.e2e

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


@pytest.mark.parametrize(
    ("documents", "bases"),
    [
        (["README.md"], {"tunery-tiny-1"}),
        pytest.param(RUN, {"tunery-tiny-1", "our-bert"}, marks=pytest.mark.thorough),
    ],
    ids=["README", "all"],
)
def test_every_example_runs_as_pasted(
    documents: Sequence[str],
    bases: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    examples = _with_our_places(tmp_path, _examples(documents))
    # Files that `tunery up` reads when it starts are written before.
    catalogues, examples = _parted(examples, "TUNERY_CATALOGUE")
    (up,), examples = _parted(examples, "tunery up")
    _, examples = _parted(examples, "make demo")
    monkeypatch.chdir(_clone(tmp_path))
    for catalogue in catalogues:
        _run(catalogue, monkeypatch)
    with _up(up) as tunery:
        prompt = _Prompt()
        for example in examples:
            if example.language == "python":
                prompt.paste(example)
            else:
                _run(example, monkeypatch)
        client = tunery.client()
        jobs = [wait(client, job.id) for job in client.fine_tuning.jobs.list()]
        assert [job.error for job in jobs if job.status != "succeeded"] == []
        assert {job.model for job in jobs} >= bases
    assert "copper kettle" in capsys.readouterr().out


@pytest.mark.thorough
def test_the_demo_shows_what_the_built_in_model_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,), _ = _parted(blocks("README.md"), "make demo")
    monkeypatch.chdir(_clone(tmp_path))
    shown = _run(example, monkeypatch)
    exact = re.findall(r"Exact match (?:before|after): \d+/40 = (\S+)", shown)
    assert float(exact[0]) < 0.1 < float(exact[1])


def test_the_examples_use_the_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tunery-data").mkdir()
    (tmp_path / "tunery-data/admin.key").write_text("of the file\n")
    monkeypatch.chdir(tmp_path)
    (example,), _ = _parted(blocks("README.md"), "export OPENAI_API_KEY")
    for given, expected in (("", "of the file"), ("of the environment", "of the environment")):
        monkeypatch.setenv("TUNERY_API_KEY", given)
        _run(example, monkeypatch)
        assert os.environ["OPENAI_API_KEY"] == expected


def _examples(documents: Iterable[str]) -> list[Block]:
    """Examples to run, in the order of their documents. An example that two documents share comes once."""
    found: dict[str, Block] = {}
    for document in documents:
        for block in blocks(document):
            if block.not_run is None and block.language in ("sh", "python"):
                found.setdefault(block.text, block)
    return list(found.values())


def _with_our_places(folder: Path, examples: list[Block]) -> list[Block]:
    encoder = folder / "bert"
    make_family("bert", encoder, context_length=512)
    port = str(free_ports(1)[0])
    return [
        Block(
            one.document,
            one.line,
            one.language,
            one.text.replace(PORT, port).replace(ENCODER_FOLDER, str(encoder)),
        )
        for one in examples
    ]


def _parted(examples: list[Block], words: str) -> tuple[list[Block], list[Block]]:
    """Splits the examples into those that contain the words and the others."""
    chosen = [example for example in examples if words in example.text]
    return chosen, [example for example in examples if example not in chosen]


def _clone(folder: Path) -> Path:
    clone = folder / "clone"
    clone.mkdir()
    for path in ROOT.iterdir():
        if path.name not in (".venv", ".git"):
            (clone / path.name).symlink_to(path)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    return clone


def _run(example: Block, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the example in a shell, whose exports persist as in a terminal. Returns its output."""
    # Everything is installed already where the tests run.
    monkeypatch.setenv("MAKEFLAGS", "--assume-old=.venv/installed")
    command = ["sh", "-ec", f"{example.text}\nenv -0 > exported"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, f"{example.place}: {done.stdout}{done.stderr}"
    for variable in Path("exported").read_text().split("\0"):
        name, _, value = variable.partition("=")
        if name.startswith(("OPENAI_", "TUNERY_")):
            monkeypatch.setenv(name, value)
    return done.stdout


@contextmanager
def _up(example: Block) -> Iterator[Tunery]:
    """Starts Tunery, which generates an admin key. It is said once, kept in a private file, and used by the
    examples."""
    command = shlex.split(example.text)
    environment = {name: value for name, value in os.environ.items() if name != "TUNERY_API_KEY"}
    folder = Path(command[command.index("--data") + 1])
    with started(command, environment) as process:
        assert process.stdout
        said = process.stdout.readline()
        path = folder / "admin.key"
        key = path.read_text().strip()
        assert key in said
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        tunery = Tunery(folder, int(command[-1]), key, process)
        tunery.wait_ready()
        yield tunery
