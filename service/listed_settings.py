"""Settings that are lists of objects: JSON in a variable, or a file that it names."""

import json
import tomllib
from pathlib import Path
from typing import Any

from cluster.contracts.errors import InvalidConfiguration


def read_list(text: str, *, variable: str, member: str) -> Any:
    """What the variable says, or the TOML or JSON file says that it names: a list, or an object whose only
    member `member` is one. What is listed is not checked. Raises InvalidConfiguration."""
    if not text.strip():
        return ()
    if text.lstrip()[0] in "[{":
        return _list(_json(text, f"{variable} is"), variable, variable, member)
    path = Path(text.strip())
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InvalidConfiguration(
            f"{variable} is neither JSON nor a file that can be read: {error}."
        ) from error
    if path.suffix == ".toml":
        try:
            return _list(tomllib.loads(content), str(path), variable, member)
        except tomllib.TOMLDecodeError as error:
            raise InvalidConfiguration(f"{variable}: {path} is not TOML: {error}.") from error
    return _list(_json(content, f"{variable}: {path} is"), str(path), variable, member)


def _json(text: str, what_is: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidConfiguration(f"{what_is} not JSON: {error}.") from error


def _list(found: Any, where: str, variable: str, member: str) -> Any:
    if isinstance(found, dict) and set(found) == {member}:
        found = found[member]
    if not isinstance(found, list):
        raise InvalidConfiguration(
            f"{variable}: {where} has no list of {member}, such as [[{member}]] in TOML."
        )
    return found
