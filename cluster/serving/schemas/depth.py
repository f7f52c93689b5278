"""Measures how deeply the definitions of a grammar refer to one another. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.serving.schemas.finite import Schema
from cluster.serving.schemas.references import SchemaError

MAX_LEVELS = 800
"""llguidance follows references on the stack. From 1,500 levels on, it overflows the 8 MB of a thread, which
ends the process."""


def check_depth(definitions: Mapping[str, Schema]) -> None:
    """Raises SchemaError if a chain of definitions may be too deep. Each definition counts once, as if all
    definitions that refer to others formed one chain."""
    measured = [_measured(schema) for schema in definitions.values()]
    levels = sum(levels for levels, refers in measured if refers)
    levels += max((levels for levels, refers in measured if not refers), default=0)
    if levels > MAX_LEVELS:
        raise SchemaError(
            f"its definitions have {levels} levels of schemas in all where they refer to one another; "
            f"{MAX_LEVELS} are allowed"
        )


def _measured(schema: Schema) -> tuple[int, bool]:
    """Returns how many levels of schemas there are, and whether any refers to a definition."""
    if isinstance(schema, bool):
        return 0, False
    parts = [_measured(part) for part in _parts(schema)]
    refers = "$ref" in schema or any(refers for _, refers in parts)
    return 1 + max((levels for levels, _ in parts), default=0), refers


def _parts(schema: Mapping[str, Any]) -> Iterator[Schema]:
    for keyword in ("anyOf", "allOf", "prefixItems"):
        yield from schema.get(keyword, ())
    for keyword in ("properties", "patternProperties"):
        yield from schema.get(keyword, {}).values()
    for keyword in ("items", "additionalProperties"):
        yield schema.get(keyword, True)
