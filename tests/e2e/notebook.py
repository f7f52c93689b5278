"""Runs the code cells of a notebook, and prints the output of each as JSON, by the cell's id."""

import ast
import contextlib
import json
import sys
from pathlib import Path
from typing import Any


def run(path: Path) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    shown = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        *statements, last = ast.parse("".join(cell["source"])).body
        exec(compile(ast.Module(statements, []), cell["id"], "exec"), scope)
        if isinstance(last, ast.Expr):
            shown[cell["id"]] = eval(compile(ast.Expression(last.value), cell["id"], "eval"), scope)
        else:
            exec(compile(ast.Module([last], []), cell["id"], "exec"), scope)
    return shown


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        results = run(Path(sys.argv[1]))
    print(json.dumps(results, default=str))
