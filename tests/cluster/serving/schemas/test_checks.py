"""Complete answers are checked for what no grammar enforces."""

import json
from typing import Any

import pytest

from cluster.serving.schemas.checks import problem


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        ({"properties": {"tags": {"uniqueItems": True}}}, {"tags": ["a", "b", "a"]}, "$.tags, items 0 and 2"),
        ({"pattern": r"^(?!.*\s).{4,}$"}, "a bcd", "does not match"),
        ({"not": {"const": 7}}, 7, "should not be valid"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1, "valid under each of"),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, "'b' is a required property"),
        ({"contains": {"const": 7}}, [1], "does not contain"),
        ({"items": [{"type": "integer"}], "uniqueItems": True}, [1, 1], "items 0 and 1"),
        ({"multipleOf": 0.1, "not": {"const": 0.3}}, 0.35, "no multiple of 0.1"),
        ({"uniqueItems": True}, [{"a": 1, "b": [2]}, {"b": [2], "a": 1}], "items 0 and 1"),
    ],
)
def test_a_violation_is_reported_with_its_path(schema: dict[str, Any], value: Any, says: str) -> None:
    found = problem(schema, json.dumps(value))
    assert found is not None
    assert says in found


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"uniqueItems": True}, '["a", "b"]'),
        ({"uniqueItems": True}, '[1, true, "1", 0, false]'),
        ({"multipleOf": 0.1}, "0.3"),
        ({"uniqueItems": True}, '["a", "a'),
        ({"not": {"$ref": "https://example.com/schema"}}, "1"),
    ],
)
def test_valid_and_undecidable_texts_have_no_problem(schema: dict[str, Any], text: str) -> None:
    assert problem(schema, text) is None


HOSTILE: dict[str, tuple[dict[str, Any], Any]] = {
    "a pattern that goes back": ({"pattern": r"(?=(a|a)*b)"}, "a" * 200),
    "alternatives within one another": (
        {
            "$ref": "#/$defs/x",
            "$defs": {
                "x": {"anyOf": [{"items": {"$ref": "#/$defs/x"}, "maxItems": n} for n in (1, 1)] + [False]}
            },
        },
        json.loads("[" * 40 + "[1, 2]" + "]" * 40),
    ),
    "many items": ({"uniqueItems": True}, [{"a": n} for n in range(20_000)]),
    "itself": ({"$ref": "#"}, 1),
    "depth": ({"items": {"$ref": "#"}, "not": {"const": 1}}, json.loads("[" * 500 + "]" * 500)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_check_that_takes_too_long_reports_nothing(name: str) -> None:
    schema, value = HOSTILE[name]
    assert problem(schema, json.dumps(value)) is None
