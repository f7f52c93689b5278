from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cluster.contracts.json_schema import MAX_BYTES, MAX_DEPTH, JsonSchema

_SCHEMA: TypeAdapter[dict[str, Any]] = TypeAdapter(JsonSchema)


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


def _overlaid_references() -> dict[str, Any]:
    steps = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}", "pattern": f"a.{{{n}}}b"} for n in range(30)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, "d30": {"type": "string"}}}


def test_a_schema_within_the_limits_is_unchanged() -> None:
    many = {f"p{n}": {"type": "string", "pattern": f"a{n}"} for n in range(99)}
    assert _SCHEMA.validate_python({"properties": many}) == {"properties": many}
    referring = {
        "properties": {"a": {"$ref": "#/$defs/a", "title": "A"}},
        "$defs": {"a": {"properties": many}},
    }
    assert _SCHEMA.validate_python(referring) == referring
    for schema in ({}, _nested(MAX_DEPTH), {"multipleOf": 0.01}, {"enum": ["é" * (MAX_BYTES // 2 - 10)]}):
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
    ],
)
def test_a_schema_that_would_cost_too_much_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        _SCHEMA.validate_python(schema)


def test_a_multiple_that_is_not_a_number_is_left_to_the_compiler() -> None:
    for value in (None, "7", True, 0, -5, {"a": 1}):
        assert _SCHEMA.validate_python({"multipleOf": value}) == {"multipleOf": value}
