from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cluster.contracts.json_schema import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_LOOK_AHEADS,
    MAX_NAME_PATTERNS,
    JsonSchema,
)

_SCHEMA: TypeAdapter[dict[str, Any]] = TypeAdapter(JsonSchema)


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


def _overlaid_references() -> dict[str, Any]:
    steps = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}", "pattern": f"a.{{{n}}}b"} for n in range(30)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, "d30": {"type": "string"}}}


def _looking(numbers: range, rest: str = ".*") -> dict[str, Any]:
    """A string whose pattern begins with a look-ahead for each number."""
    return {"type": "string", "pattern": "^" + "".join(f"(?=.*{n}x)" for n in numbers) + rest}


def _named(num: int) -> dict[str, Any]:
    """An object with this many patterns of property names."""
    return {"type": "object", "patternProperties": {f"^a{n}$": {} for n in range(num)}}


def test_a_schema_within_the_limits_is_unchanged() -> None:
    many = {f"p{n}": {"type": "string", "pattern": f"a{n}"} for n in range(99)}
    assert _SCHEMA.validate_python({"properties": many}) == {"properties": many}
    referring = {
        "properties": {"a": {"$ref": "#/$defs/a", "title": "A"}},
        "$defs": {"a": {"properties": many}},
    }
    assert _SCHEMA.validate_python(referring) == referring
    for schema in (
        {},
        _nested(MAX_DEPTH),
        {"multipleOf": 0.01},
        {"enum": ["é" * (MAX_BYTES // 2 - 10)]},
        _named(MAX_NAME_PATTERNS),
        {"properties": {f"p{n}": _named(4) for n in range(100)}},
    ):
        assert _SCHEMA.validate_python(schema) == schema


def test_look_aheads_count_for_each_text_and_the_same_ones_once() -> None:
    several = {f"p{n}": _looking(range(n, n + MAX_LOOK_AHEADS)) for n in range(20)}
    decimals = [{"pattern": rf"^(?!^[-+.]*$)[+-]?0*\d{{0,{n}}}$"} for n in range(1, 9)]
    for schema in (
        {"properties": several},
        {"allOf": [_looking(range(MAX_LOOK_AHEADS), f".{{{n}}}") for n in range(8)]},
        {"type": "string", "anyOf": decimals},
        {"pattern": "^" + "(?=a)" * 40},
        {"pattern": "^" + "".join(f"(?!{n})" for n in range(40))},
    ):
        assert _SCHEMA.validate_python(schema) == schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (_nested(MAX_DEPTH + 1), "deeper than 64 levels"),
        (_nested(100_000), "deeper than 64 levels"),
        ({"enum": ["x" * MAX_BYTES]}, "65536 are allowed"),
        ({"multipleOf": 1001}, "least common multiple"),
        ({"multipleOf": 1e300}, "least common multiple"),
        ({"allOf": [{"multipleOf": 97}, {"multipleOf": 91}]}, "least common multiple"),
        ({"properties": {"a": {"multipleOf": 0.997}, "b": {"multipleOf": 991}}}, "least common multiple"),
        (
            {"allOf": [{"pattern": f"a.{{{n}}}b"} for n in range(40)]},
            "40 patterns and formats; 8 are allowed",
        ),
        (_overlaid_references(), "30 patterns and formats"),
        (_looking(range(40)), "40 look-aheads at the start of patterns that can apply to one text; 8 are"),
        (
            {"pattern": "^" + "".join(f"(?!^[{'abcdefghijk'.replace(c, '')}]*$)" for c in "abcdefghij")},
            "10 look-aheads",
        ),
        ({"allOf": [_looking(range(3 * n, 3 * n + 3)) for n in range(4)]}, "12 look-aheads"),
        (
            {"properties": {"x": _looking(range(8))}, "patternProperties": {"^x": _looking(range(8, 16))}},
            "16 look-aheads",
        ),
        (_named(MAX_NAME_PATTERNS + 1), "65 patterns; 64 are allowed"),
        ({"properties": {"a": _named(50), "b": {"items": _named(50)}}}, "100 patterns; 64 are allowed"),
    ],
)
def test_a_schema_that_would_cost_too_much_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        _SCHEMA.validate_python(schema)


def test_a_multiple_that_is_not_a_number_is_left_to_the_compiler() -> None:
    for value in (None, "7", True, 0, -5, {"a": 1}):
        assert _SCHEMA.validate_python({"multipleOf": value}) == {"multipleOf": value}
