"""Finds the column of a value in a line of JSON."""

import json
import re

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_SPACE = re.compile(r"[ \t\r\n]*")
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]"
)
"""One character of a JSON string, which may be escaped."""
_ALIASES = {
    "preferred_output": "preferred_completion",
    "non_preferred_output": "non_preferred_completion",
    "tools": "functions",
}
_DECODER = json.JSONDecoder()


def column_of(line: str, param: str | None, offset: int | None = None) -> int:
    """Returns the column, from 1, at which the value named by `param` begins, e.g. `messages[2].content`. If
    the value is a text, `offset` selects the character in it, from 0, whose column is returned instead.

    If `param` names something that does not exist, the value around it counts. The line must be JSON."""
    position = _after_space(line, 0)
    for key, index in _STEP.findall(param or ""):
        found = _member(line, position, key) if key else _item(line, position, int(index))
        if found is None:
            return position + 1
        position = found
    if offset is not None and line[position] == '"':
        return _character(line, position + 1, offset) + 1
    return position + 1


def _member(line: str, position: int, key: str) -> int | None:
    """Returns where the value of `key` begins in the object at `position`."""
    if line[position] != "{":
        return None
    wanted = (key, _ALIASES.get(key))
    position = _after_space(line, position + 1)
    while line[position] == '"':
        name, end = _DECODER.raw_decode(line, position)
        value = _after_space(line, _after_space(line, end) + 1)
        if name in wanted:
            return value
        position = _next(line, value)
    return None


def _item(line: str, position: int, index: int) -> int | None:
    """Returns where item number `index` begins in the array at `position`."""
    if line[position] != "[":
        return None
    position = _after_space(line, position + 1)
    while line[position] != "]":
        if index == 0:
            return position
        index -= 1
        position = _next(line, position)
    return None


def _next(line: str, position: int) -> int:
    """Returns where the next key or item begins, or the closing bracket."""
    position = _after_space(line, _DECODER.raw_decode(line, position)[1])
    return _after_space(line, position + 1) if line[position] == "," else position


def _after_space(line: str, position: int) -> int:
    found = _SPACE.match(line, position)
    assert found is not None
    return found.end()


def _character(line: str, position: int, offset: int) -> int:
    for _ in range(offset):
        found = _CHARACTER.match(line, position)
        if found is None or found.group() == '"':
            break
        position = found.end()
    return position
