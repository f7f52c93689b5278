"""Docstrings and descriptions name the thing: "Seconds until …", not "Of …", "Those that …" or "Which …"."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("service", "cluster", "clients/python/tunery_client")
_GENERATED = "clients/python/tunery_client/_generated/"
_DESCRIPTIONS = ("description", "help")
_FRAGMENT = re.compile(r"(?:Of|Those|That|Which|Whose)\b|(?:By|For|With|Without)\b[^,.]*(?:\.(?:\s|$)|$)")
"""A sentence such as "For each row, the …" has a comma; "For people." has none."""


def fragments(source: str) -> Iterator[tuple[int, str]]:
    """Lines and texts of the headless docstrings and descriptions in Python source."""
    for node in ast.walk(ast.parse(source)):
        for value in _texts(node):
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                text = " ".join(value.value.split())
                if _FRAGMENT.match(text):
                    yield value.lineno, text


def _texts(node: ast.AST) -> Iterator[ast.expr]:
    """Docstrings of what the node contains, attributes included, and the descriptions that it passes."""
    if isinstance(node, ast.Expr):
        yield node.value
    if isinstance(node, ast.Call):
        yield from (each.value for each in node.keywords if each.arg in _DESCRIPTIONS)


@pytest.mark.parametrize("package", _PACKAGES)
def test_no_docstring_or_description_is_a_headless_fragment(package: str) -> None:
    found = []
    for path in sorted((_ROOT / package).rglob("*.py")):
        name = path.relative_to(_ROOT).as_posix()
        if not name.startswith(_GENERATED):
            found += [f"{name}:{line}: {text}" for line, text in fragments(path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    ["Of the line item.", "Those that wait.", "Which rows stay.", "For people.", "By name; None for all."],
)
def test_fragments_are_found_wherever_texts_stand(text: str) -> None:
    for source in (
        f'"""{text}"""',
        f'def f():\n    """{text}"""',
        f'class A:\n    """{text}"""',
        f'class A:\n    x: int\n    """{text}"""',
        f'x: int = Field(description="{text}")',
        f'x = Option(help="{text}")',
    ):
        assert [found for _, found in fragments(source)] == [text]


@pytest.mark.parametrize("text", ["For each row, its length.", "Official name.", "The rows that are kept."])
def test_sentences_are_not_fragments(text: str) -> None:
    assert not list(fragments(f'"""{text}"""'))
