"""Finds the properties that the parts of a schema declare for one object. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.serving.schemas.references import References, SchemaError

_MAX_STEPS = 64
"""Maximum nesting of parts that describe the same object."""


@dataclass(frozen=True)
class Declared:
    names: frozenset[str] = frozenset()
    """Properties that an object may or must have."""
    described: frozenset[str] = frozenset()
    """Properties that have a description of their values."""
    patterns: frozenset[str] = frozenset()
    is_settled: bool = False
    """Whether the schema constrains all other properties."""

    def __or__(self, other: "Declared") -> "Declared":
        return Declared(
            self.names | other.names,
            self.described | other.described,
            self.patterns | other.patterns,
            self.is_settled or other.is_settled,
        )


def own(schema: dict[str, Any]) -> Declared:
    """Returns what `schema` itself declares. Raises SchemaError."""
    described = frozenset(objects(schema, "properties"))
    required = frozenset(name for name in schemas(schema, "required") if isinstance(name, str))
    # `unevaluatedProperties: false` is the same as our default for an object without constraints.
    is_settled = (
        "additionalProperties" in schema
        or "propertyNames" in schema
        or schema.get("unevaluatedProperties", False) is not False
    )
    patterns = frozenset(objects(schema, "patternProperties"))
    return Declared(described | required, described, patterns, is_settled)


class Declarations:
    """The declarations of one schema."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._by_reference: dict[str, Declared] = {}

    def of(self, *parts: Any, steps: int = 0) -> Declared:
        """Returns what these schemas and their parts for the same object declare, including alternatives.
        Raises SchemaError."""
        if steps > _MAX_STEPS:
            raise SchemaError(f"one value is described by more than {_MAX_STEPS} schemas within one another")
        found = Declared()
        for part in parts:
            if isinstance(part, dict):
                found |= own(part)
                for _, some in combined(part):
                    found |= self.of(*some, steps=steps + 1)
                if isinstance(part.get("$ref"), str):
                    found |= self._behind(part["$ref"], steps + 1)
        return found

    def _behind(self, reference: str, steps: int) -> Declared:
        if reference not in self._by_reference:
            target = self._references.target(reference)
            # A schema that refers back to itself adds no declarations.
            self._by_reference[reference] = Declared()
            self._by_reference[reference] = self.of(target, steps=steps)
        return self._by_reference[reference]


def combined(schema: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yields the parts of `allOf`, `anyOf` and `oneOf` by keyword. Raises SchemaError."""
    for keyword in ("allOf", "anyOf", "oneOf"):
        if some := schemas(schema, keyword):
            yield keyword, some
        elif keyword in schema:
            raise SchemaError(f"'{keyword}' is empty; it should have a schema at least")


def objects(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    """Returns the object under a keyword; empty if there is none. Raises SchemaError."""
    value = schema.get(keyword, {})
    if not isinstance(value, dict):
        raise SchemaError(f"'{keyword}' should be an object")
    return value


def schemas(schema: dict[str, Any], keyword: str) -> list[Any]:
    """Returns the list under a keyword; empty if there is none. Raises SchemaError."""
    value = schema.get(keyword, [])
    if not isinstance(value, list):
        raise SchemaError(f"'{keyword}' should be a list")
    return value
