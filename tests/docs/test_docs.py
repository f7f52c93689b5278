"""The documentation says what the code does."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.devices import Pool, check_pools
from cluster.contracts.jsonl import parse_row
from cluster.contracts.rows import ROW_TYPES, row_format
from service.listed_settings import read_list
from service.oidc.issuers import Issuer
from tests.docs.codes import source_codes
from tests.docs.generate import generated
from tests.docs.tables import OTHERS, settings_names
from tests.documents import PAGES, ROOT, blocks

INTERNAL_VARIABLES = {"TUNERY_JOB_SPEC", "TUNERY_RAY_FOLDER"}
"""Set by one part of Tunery for another."""
MAX_GLOSSARY_WORDS = 40


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_what_is_generated_is_up_to_date(page: str) -> None:
    text = text_of(page)
    assert generated(text) == text, "run python -m tests.docs.generate"


@pytest.mark.parametrize("page", PAGES)
def test_every_function_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::([\w.]+)`", text_of(page))
    assert [f"{path}::{name}" for path, name in named if name not in _definitions(ROOT / path)] == []


def test_both_walks_name_their_functions() -> None:
    assert len(re.findall(r"`[\w/]+\.py::[\w.]+`", text_of("docs/architecture.md"))) >= 20


def test_every_promise_of_reliability_names_what_shows_it() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    rows = re.findall(r"^\| \d+ \|.*$", text_of("docs/reliability.md"), re.MULTILINE)
    assert len(rows) == 20
    for row in rows:
        shown = row.split("|")[3]
        commands = re.findall(r"`make ([a-z-]+)`", shown)
        assert commands or "::test_" in shown, row
        assert set(commands) <= targets, row


def test_every_error_code_is_explained_and_no_other() -> None:
    named = re.findall(r"^\| `([\w…]+)` \|", _without_generated(text_of("docs/errors.md")), re.MULTILINE)
    assert set(named) == source_codes()


def test_every_variable_that_is_read_is_documented() -> None:
    source = "".join(path.read_text() for folder in ("cluster", "service") for path in _python(folder))
    read = set(re.findall(r"TUNERY_[A-Z_]*[A-Z]", source)) - INTERNAL_VARIABLES
    assert read <= settings_names() | OTHERS.keys()
    assert OTHERS.keys() <= read


def test_every_example_row_is_accepted() -> None:
    formats = set()
    for block in blocks("docs/data-formats.md"):
        if block.language == "jsonl":
            for line in block.text.encode().splitlines():
                formats.add(row_format(parse_row(line)))
    assert formats == set(ROW_TYPES)


def test_every_example_of_a_catalogue_and_of_pools_is_accepted(tmp_path: Path) -> None:
    examples = [block for page in PAGES for block in blocks(page) if block.language == "toml"]
    assert any("[[pools]]" in block.text for block in examples)
    assert any("[[issuers]]" in block.text for block in examples)
    for number, block in enumerate(examples):
        path = tmp_path / f"{number}.toml"
        path.write_text(block.text)
        if "[[issuers]]" in block.text:
            listed = read_list(str(path), variable="TUNERY_OIDC_ISSUERS", member="issuers")
            assert TypeAdapter(tuple[Issuer, ...]).validate_python(listed), block.place
        elif "[[pools]]" in block.text:
            pools = TypeAdapter(tuple[Pool, ...]).validate_python(
                read_list(str(path), variable="TUNERY_TRAINING_POOLS", member="pools")
            )
            check_pools(pools)
        else:
            assert load_catalogue(path), block.place


def test_the_glossary_is_short() -> None:
    words = re.findall(r"^\*\*(.+?)\*\*", text_of("docs/glossary.md"), re.MULTILINE)
    assert words == sorted(words, key=str.lower)
    assert 20 <= len(words) <= MAX_GLOSSARY_WORDS


def test_every_page_has_a_place_in_the_navigation() -> None:
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    assert set(PAGES) == pages


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = re.compile(r"""<(?:script|link rel="stylesheet"|img|iframe)[^>]*(?:src|href)="(https?:[^"]*)""")
    for page in tmp_path.rglob("*.html"):
        assert loaded.findall(page.read_text()) == [], page


def _definitions(path: Path) -> set[str]:
    """`function`, `Class` and `Class.method` of a source file."""
    names = set()
    for node in ast.parse(path.read_text()).body if path.exists() else []:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{one.name}" for one in node.body if hasattr(one, "name")}
    return names


def _without_generated(text: str) -> str:
    return re.sub(r"<!-- generated: .*?<!-- end -->", "", text, flags=re.DOTALL)


def _python(folder: str) -> Iterator[Path]:
    return (ROOT / folder).rglob("*.py")
