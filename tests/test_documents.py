"""What the documents name exists. tests/e2e/test_readme.py runs their examples."""

import re
import subprocess

import pytest
from typer.main import get_command

from service.cli.main import app
from service.settings import Settings
from tests.documents import DOCUMENTS, PAGES, ROOT, RUN, Block, blocks

SHELLS = ("sh", "bash")
CHECKED = ("jsonl", "toml", "ts")
"""Languages of examples that tests/docs validates, and tests/conformance runs."""
_SOURCES = ("cluster", "service")
_TARGETS = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
_FOLDERS = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text_of(document), re.MULTILINE)) <= set(_TARGETS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"(?:^|[`/])tunery ([a-z][a-z-]*)", text_of(document), re.MULTILINE))
    assert named <= set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    names = re.findall(rf"(?<![\w./-])(?<!port-forward )((?:{_FOLDERS})/[\w./*-]*\w)", text_of(document))
    assert [name for name in names if not any(ROOT.glob(name))] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_setting_that_a_document_names_is_read(document: str) -> None:
    read = "\n".join(path.read_text() for folder in _SOURCES for path in (ROOT / folder).rglob("*.py"))
    settings = {f"TUNERY_{name.upper()}" for name in Settings.model_fields}
    for name in re.findall(r"TUNERY_[A-Z_]*[A-Z]", text_of(document)):
        assert name in settings or name in read, name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_fence_begins_a_line(document: str) -> None:
    """An indented block would be overlooked by the tests of examples."""
    assert not re.search(r"^[ \t>]+(```|~~~)|^~~~", text_of(document), re.MULTILINE)


@pytest.mark.parametrize("block", [b for name in DOCUMENTS for b in blocks(name)], ids=lambda b: b.place)
def test_every_example_is_run_or_says_why_not(block: Block) -> None:
    """A shell's example that is not run has at least the shell's grammar."""
    if block.not_run is None:
        is_run = block.document in RUN and block.language in (*SHELLS, "python")
        assert is_run or (block.document in PAGES and block.language in CHECKED)
    elif block.language in SHELLS:
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
