"""Limits on tenants' JSON Schemas, checked before anything walks or compiles them."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator
from typing_extensions import TypeAliasType

from cluster.contracts.patterns import regular_patterns

MAX_BYTES = 64 * 1024
MAX_DEPTH = 64
"""Nesting depth of objects and arrays in a schema."""
MAX_MULTIPLE = 1000
"""Least common multiple of all `multipleOf` in a schema, in units of their last decimal. A grammar has a
state for each remainder: for a thousand, that takes 0.5 MB, and 2 ms to compile."""
MAX_COMBINED_PATTERNS = 8
"""Patterns and formats in a schema with overlapping parts: 20 take 2 s to compile, 40 never finish."""
MAX_LOOK_AHEADS = 8
"""Distinct look-aheads at the start of a pattern, or of all patterns in a schema with overlapping parts. In a
grammar, each is one more pattern for the same text: 8 patterns with 8 of them take 0.2 s."""
MAX_NAME_PATTERNS = 64
"""Patterns of one object's property names. Every two are compared: 64 take 0.05 s, or 2 s where two are hard
to tell apart; 1,000 take half a minute at least."""

_COMBINING = {"$ref", "allOf", "anyOf", "oneOf"}
_REMARKS = {
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "$schema",
    "$id",
    "$comment",
    "$defs",
}


def bounded_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema unchanged. Raises ValueError if it is too large, too deep, or would take too long to
    compile."""
    parts = list(_objects(schema))
    if (size := len(json.dumps(schema, ensure_ascii=False).encode())) > MAX_BYTES:
        raise ValueError(f"it is {size} bytes long; {MAX_BYTES} are allowed")
    _check_multiples(parts)
    _check_patterns(parts)
    _check_names(parts)
    return schema


JsonSchema = TypeAliasType("JsonSchema", Annotated[dict[str, Any], AfterValidator(bounded_schema)])
"""A JSON Schema, draft 2020-12."""


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yields all objects in `value`. Does not recurse, because the depth has not been checked yet."""
    left = [(value, 1)]
    while left:
        value, depth = left.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            yield value
        parts = value.values() if isinstance(value, dict) else value
        left += [(part, depth + 1) for part in parts if isinstance(part, dict | list)]


def _check_multiples(parts: list[dict[str, Any]]) -> None:
    multiples = [Decimal(str(part["multipleOf"])) for part in parts if _is_number(part.get("multipleOf"))]
    if _common_multiple(multiples) > MAX_MULTIPLE:
        raise ValueError(f"it has values of multipleOf whose least common multiple is above {MAX_MULTIPLE}")


def _check_patterns(parts: list[dict[str, Any]]) -> None:
    combines = any(map(_combines, parts))
    num_patterns = sum(map(_num_patterns, parts))
    if combines and num_patterns > MAX_COMBINED_PATTERNS:
        raise ValueError(
            f"it has {num_patterns} patterns and formats; {MAX_COMBINED_PATTERNS} are allowed where allOf, "
            "or $ref, anyOf or oneOf beside other keywords, can demand several of one text"
        )
    # A property may also match a pattern of names.
    overlaps = combines or any("patternProperties" in part for part in parts)
    looks = [_look_aheads(part) for part in parts]
    num_looks = len(set().union(*looks)) if overlaps else max(map(len, looks), default=0)
    if num_looks > MAX_LOOK_AHEADS:
        raise ValueError(
            f"it has {num_looks} look-aheads at the start of patterns that can apply to one text; "
            f"{MAX_LOOK_AHEADS} are allowed"
        )


def _check_names(parts: list[dict[str, Any]]) -> None:
    nums = [
        len(part["patternProperties"]) for part in parts if isinstance(part.get("patternProperties"), dict)
    ]
    if sum(map(_num_pairs, nums)) > _num_pairs(MAX_NAME_PATTERNS):
        raise ValueError(
            f"its patternProperties have {sum(nums)} patterns; {MAX_NAME_PATTERNS} are allowed in one "
            "object, or a few more over several objects"
        )


def _num_pairs(num: int) -> int:
    return num * (num - 1) // 2


def _num_patterns(schema: dict[str, Any]) -> int:
    by_name = schema.get("patternProperties")
    return (
        isinstance(schema.get("pattern"), str)
        + isinstance(schema.get("format"), str)
        + (len(by_name) if isinstance(by_name, dict) else 0)
    )


def _look_aheads(schema: dict[str, Any]) -> set[str]:
    """What a grammar makes of the look-aheads at the start of the schema's pattern."""
    pattern = schema.get("pattern")
    return set(regular_patterns(pattern)[0][1:]) if isinstance(pattern, str) else set()


def _combines(schema: dict[str, Any]) -> bool:
    found = _COMBINING & schema.keys()
    parts = schema.get("allOf")
    is_several = isinstance(parts, list) and len(parts) > 1
    return bool(found) and (is_several or len(schema.keys() - _REMARKS) > 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _common_multiple(values: list[Decimal]) -> int:
    if not values:
        return 1
    # Numbers with more digits exceed any limit, and are slow to compute with.
    if any(abs(value.adjusted()) > 30 for value in values):
        return MAX_MULTIPLE + 1
    smallest = min(int(value.normalize().as_tuple().exponent) for value in values)
    common = 1
    for value in values:
        common = math.lcm(common, int(value.scaleb(-smallest)))
        if common > MAX_MULTIPLE:
            break
    return common
