"""Finds the definitions of a schema that some finite value satisfies. Pure."""

from collections.abc import Mapping
from typing import Any

from cluster.serving.schemas.references import SchemaError

Schema = dict[str, Any] | bool

_PREFIX = "#/$defs/"
_MAX_ROUNDS = 64


def without_endless(definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Replaces definitions that only infinite values satisfy, and references to them, by `false`. Raises
    SchemaError if this takes too many rounds."""
    finite: set[str] = set()
    # The definitions that come last refer to few others, so most schemas take one round.
    names = list(definitions)[::-1]
    for _ in range(_MAX_ROUNDS):
        found = {name for name in names if name not in finite and _ends(definitions[name], finite)}
        if not found:
            break
        finite |= found
    else:
        raise SchemaError("its definitions refer to one another in too many ways")
    kept = {name: _kept(schema, finite) for name, schema in definitions.items()}
    return {name: schema if name in finite else False for name, schema in kept.items()}


def _ends(schema: Schema, finite: set[str]) -> bool:
    """Whether a finite value exists, assuming that only the `finite` definitions have one."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and schema["$ref"].removeprefix(_PREFIX) not in finite:
        return False
    if "anyOf" in schema and not any(_ends(part, finite) for part in schema["anyOf"]):
        return False
    if not all(_ends(part, finite) for part in schema.get("allOf", [])):
        return False
    types = schema.get("type", "null")
    return any(_ends_as(type_, schema, finite) for type_ in ([types] if isinstance(types, str) else types))


def _ends_as(type_: str, schema: dict[str, Any], finite: set[str]) -> bool:
    if type_ == "object":
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", True) or bool(schema.get("patternProperties"))
        required = schema.get("required", [])
        return all(_ends(properties.get(name, others), finite) for name in required)
    if type_ == "array":
        first, others = schema.get("prefixItems", []), schema.get("items", True)
        least = schema.get("minItems", 0)
        needed = [*first[:least], *([others] if least > len(first) else [])]
        return all(_ends(part, finite) for part in needed)
    return True


def _kept(schema: Schema, finite: set[str]) -> Schema:
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and schema["$ref"].removeprefix(_PREFIX) not in finite:
        return False
    kept = dict(schema)
    for keyword in {"properties", "patternProperties"} & schema.keys():
        kept[keyword] = {name: _kept(part, finite) for name, part in schema[keyword].items()}
    for keyword in {"allOf", "anyOf", "prefixItems"} & schema.keys():
        kept[keyword] = [_kept(part, finite) for part in schema[keyword]]
    for keyword in {"items", "additionalProperties"} & schema.keys():
        kept[keyword] = _kept(schema[keyword], finite)
    return kept
