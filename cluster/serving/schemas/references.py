"""Resolves the references of a JSON Schema. Pure."""

import re
from typing import Any
from urllib.parse import unquote

_MAX_STEPS = 32


class SchemaError(ValueError):
    """An invalid schema, with a message for its author."""


class References:
    """References within one schema; nothing is ever fetched."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._id = root["$id"] if isinstance(root.get("$id"), str) else ""
        self._anchors: dict[str, Any] | None = None

    def target(self, reference: object) -> Any:
        """The target of a `$ref`. Raises SchemaError."""
        if not isinstance(reference, str):
            raise SchemaError(f"'$ref' is {shown(reference)}; it should be text")
        place = reference.removeprefix(self._id) if self._id else reference
        if not place.startswith("#") and place:
            raise SchemaError(
                f"'$ref' leads to {shown(reference)}, outside the schema; copy what is meant into '$defs'"
            )
        fragment = unquote(place[1:])
        try:
            return self._at(fragment) if fragment[:1] in ("", "/") else self._anchored(fragment)
        except (KeyError, IndexError, ValueError) as error:
            raise SchemaError(
                f"'$ref' leads to {shown(reference)}, which the schema does not have"
            ) from error

    def resolved(self, schema: Any) -> Any:
        """Returns the schema itself, or the end of its chain of references. Raises SchemaError."""
        for _ in range(_MAX_STEPS):
            if not isinstance(schema, dict) or "$ref" not in schema:
                return schema
            schema = self.target(schema["$ref"])
        raise SchemaError(f"'$ref' leads through more than {_MAX_STEPS} others, or back to itself")

    def _at(self, pointer: str) -> Any:
        here: Any = self._root
        for segment in pointer.split("/")[1:]:
            key = segment.replace("~1", "/").replace("~0", "~")
            if isinstance(here, list):
                here = here[int(key)]
            elif isinstance(here, dict):
                here = here[key]
            else:
                raise KeyError(key)
        return here

    def _anchored(self, name: str) -> Any:
        if self._anchors is None:
            self._anchors = {}
            left: list[Any] = [self._root]
            while left:
                here = left.pop()
                if isinstance(here, dict):
                    if isinstance(anchor := here.get("$anchor"), str):
                        self._anchors[anchor] = here
                    left += here.values()
                elif isinstance(here, list):
                    left += here
        return self._anchors[name]


def shown(value: object) -> str:
    """Returns a value of the schema, shortened for a message."""
    text = value if isinstance(value, str) else re.sub(r"\s+", " ", repr(value))
    return f"'{text[:80]}…'" if len(text) > 80 else f"'{text}'"
