"""Writes `tunery_client/_generated` from the committed OpenAPI document, as far as the client uses it, and
`tunery_client/_sync` from the asynchronous client in `tunery_client/_async`.

python clients/python/generate.py            # write
python clients/python/generate.py --check    # exits with 1 if the committed client differs
"""

import argparse
import ast
import filecmp
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import unasync

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "openapi" / "openapi.json"
PACKAGE = HERE / "tunery_client"
_REFERENCE = re.compile(r'"#/components/schemas/(\w+)"')
_CLASS = re.compile(r"^class Async(\w+)", re.MULTILINE)
_QUOTED = re.compile(r'quote\(str\((\w+)\), safe=""\)')
_SYNCHRONOUS = {
    "_async": "_sync",
    "AsyncClient": "Client",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_lines": "iter_lines",
    "aiter_raw": "iter_raw",
    "aread": "read",
    "asyncio": "sync",
    "each_async": "each",
    "get_async_httpx_client": "get_httpx_client",
    "in_thread": "in_place",
    "set_async_httpx_client": "set_httpx_client",
    "sleep_async": "sleep",
}
"""Names of the asynchronous client beside its classes, and what takes their place."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = {"_generated": Path(folder) / "_generated", "_sync": Path(folder) / "_sync"}
        generate(fresh["_generated"])
        synchronize(PACKAGE / "_async", fresh["_sync"])
        if options.check:
            different = [
                f"{name}/{path}"
                for name, target in fresh.items()
                for path in differences(target, PACKAGE / name)
            ]
            if different:
                sys.stderr.write(f"run python clients/python/generate.py; stale: {', '.join(different)}\n")
            return 1 if different else 0
        for name, target in fresh.items():
            shutil.rmtree(PACKAGE / name, ignore_errors=True)
            shutil.copytree(target, PACKAGE / name)
    return 0


def synchronize(source: Path, target: Path) -> None:
    """Writes the synchronous client: the asynchronous one without `async` and `await`."""
    texts = [path.read_text() for path in source.glob("*.py")]
    classes = {f"Async{name}": name for text in texts for name in _CLASS.findall(text)}
    rule = unasync.Rule(str(source), str(target), additional_replacements={**_SYNCHRONOUS, **classes})
    unasync.unasync_files([str(path) for path in source.glob("*.py")], [rule])
    _tidy(target)


def generate(target: Path) -> None:
    """Generates what the client uses of the API into `target`. Raises CalledProcessError, with the
    generator's output on stderr."""
    document = target.with_name("openapi.json")
    document.write_text(json.dumps(used_of(json.loads(DOCUMENT.read_text()), imported_names())))
    command = ["openapi-python-client", "generate", "--meta", "none", "--fail-on-warning"]
    files = ["--path", str(document), "--config", str(HERE / "generator.yaml"), "--output-path", str(target)]
    _run(str(Path(sys.executable).with_name(command[0])), *command[1:], *files)
    # Importing one model is not to load all of them.
    (target / "models" / "__init__.py").write_text("")
    client = target / "client.py"
    # Self is in typing only from Python 3.11.
    client.write_text(
        client.read_text().replace(
            "from typing import Any, Self\n", "from typing import Any\nfrom typing_extensions import Self\n"
        )
    )
    for path in (target / "api").rglob("*.py"):
        text = path.read_text()
        # Quoting alone would let an id such as `..` lead to another route.
        text = text.replace("from urllib.parse import quote\n", "from tunery_client.paths import segment\n")
        path.write_text(_QUOTED.sub(r"segment(str(\1))", text))
    _tidy(target)


def imported_names() -> set[str]:
    """The operations and schemas that the client imports."""
    sources = [*PACKAGE.glob("*.py"), *(PACKAGE / "_async").glob("*.py")]
    return {
        alias.name
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tunery_client._generated.")
        for alias in node.names
    }


def used_of(document: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The document's operations and schemas of these names, with every schema that they refer to."""
    paths = {
        path: {method: each for method, each in item.items() if each.get("operationId") in names}
        for path, item in document["paths"].items()
    }
    paths = {path: item for path, item in paths.items() if item}
    schemas, used = document["components"]["schemas"], set[str]()
    new = (names & schemas.keys()) | _references(paths)
    while new:
        used |= new
        new = _references([schemas[name] for name in new]) - used
    kept = {name: schema for name, schema in schemas.items() if name in used}
    return {**document, "paths": paths, "components": {**document["components"], "schemas": kept}}


def _references(part: Any) -> set[str]:
    return set(_REFERENCE.findall(json.dumps(part)))


def _tidy(target: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    _run(*ruff, "check", "--isolated", "--quiet", "--fix", "--select", "F401,I", "--exit-zero", str(target))
    _run(*ruff, "format", "--isolated", "--quiet", "--line-length", "110", str(target))


def differences(left: Path, right: Path) -> list[str]:
    """Returns the relative names of files that differ or exist in only one of the folders."""
    names = {path.relative_to(root).as_posix() for root in (left, right) for path in root.rglob("*.py")}
    return sorted(
        name
        for name in names
        if not ((left / name).is_file() and (right / name).is_file())
        or not filecmp.cmp(left / name, right / name, shallow=False)
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()


if __name__ == "__main__":
    sys.exit(main())
