"""Every error code that the source can give."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from cluster.contracts.rows import OWN_RULES
from tests.documents import ROOT

DYNAMIC = {"missing_…", "invalid_general_file", "invalid_validation_file"}
"""Codes that are put together from a name."""
_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+|hung|lost|stopped|conflict|fenced|maintenance")


def source_codes() -> set[str]:
    found = set(DYNAMIC | OWN_RULES)
    for folder in ("cluster", "service"):
        for path in (ROOT / folder).rglob("*.py"):
            if "migrations" not in path.parts and "recipe" not in path.parts:
                found |= set(_codes(path))
    return {code for code in found if _CODE.fullmatch(code) or code in DYNAMIC}


def _codes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call():
                for keyword in node.keywords:
                    if keyword.arg == "code":
                        yield from _texts(keyword.value)
                # Helpers whose argument is a code.
                if isinstance(node.func, ast.Attribute) and node.func.attr == "_refuse":
                    yield from _texts(node.args[1])
                if isinstance(node.func, ast.Name) and node.func.id == "_broken":
                    yield from _texts(node.args[0])
            case ast.Assign(targets=[ast.Name(id=name)]) if _is_code_name(name):
                if name == "_CODES" and isinstance(node.value, ast.Dict):
                    for value in node.value.values:
                        yield from _texts(value)
                else:
                    yield from _texts(node.value)
            case ast.Assign(targets=[ast.Name(id="code")]):
                yield from _texts(node.value)
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])], value=ast.Tuple(elts=values)
            ):
                yield from _texts(values[0])
            case ast.AnnAssign(target=ast.Name(id="default_code"), value=ast.Constant(value=str(text))):
                yield text


def _is_code_name(name: str) -> bool:
    return name in (
        "default_code",
        "_CODE",
        "_CODES",
        "MODEL_NOT_AVAILABLE",
        "STORAGE_REFUSED",
        "STORAGE_UNAVAILABLE",
    )


def _texts(node: ast.expr) -> Iterator[str]:
    """The constant texts of an expression, those of conditions aside."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _texts(value)
        case ast.Call(func=ast.Attribute(value=ast.Dict(values=values))):
            for value in values:
                yield from _texts(value)
