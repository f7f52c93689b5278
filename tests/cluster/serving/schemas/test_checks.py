"""Complete answers are checked for what no grammar enforces."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from jsonschema import Draft201909Validator, Draft202012Validator

from cluster.serving.schemas.checks import problem
from cluster.serving.schemas.references import SchemaError


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
        ({"multipleOf": 0.001}, "1e308"),
        ({"multipleOf": 3}, "1e999"),
        ({"uniqueItems": True}, '["a", "a'),
        ({"not": {"$ref": "https://example.com/schema"}}, "1"),
    ],
)
def test_valid_and_undecidable_texts_have_no_problem(schema: dict[str, Any], text: str) -> None:
    assert problem(schema, text) is None


DECLARED = {"properties": {"a": {}}, "patternProperties": {"^b": {"type": "integer"}, r"^\w$": True}}
BY_NAME: list[dict[str, Any]] = [
    DECLARED,
    {**DECLARED, "additionalProperties": False},
    {**DECLARED, "additionalProperties": {"type": "integer"}},
    {"properties": {"a": {}}, "additionalProperties": False},
    {"patternProperties": {"^a": {}, "b$": {}}, "additionalProperties": True},
    {"allOf": [DECLARED], "unevaluatedProperties": False},
    {"allOf": [DECLARED], "unevaluatedProperties": {"type": "integer"}},
    {"anyOf": [DECLARED, {"required": ["zz"]}], "unevaluatedProperties": False},
    {"$ref": "#/$defs/d", "$defs": {"d": DECLARED}, "unevaluatedProperties": False},
    {
        "$dynamicRef": "#d",
        "$defs": {"d": {**DECLARED, "$dynamicAnchor": "d"}},
        "unevaluatedProperties": False,
    },
    {
        "if": {"required": ["a"]},
        "then": {"properties": {"zz": {}}},
        "else": DECLARED,
        "unevaluatedProperties": False,
    },
    {"dependentSchemas": {"a": {"properties": {"zz": {}}}}, "unevaluatedProperties": False},
    {"allOf": [{"additionalProperties": {"type": "integer"}}], "unevaluatedProperties": {"type": "string"}},
    {"not": {"patternProperties": {"^[ab]": False}}},
    {"propertyNames": {"pattern": "^[ab]"}},
]
OBJECTS: list[dict[str, Any]] = [
    {},
    {"a": 1},
    {"a": "x", "b": "x"},
    {"b1": 1},
    {"bb": "x"},
    {"zz": "x"},
    {"zz": 1},
    {"zz": None, "yy": None},
    {"é": 1, "éé": "x"},
    {"a": 1, "zz": "x", "b": 2},
]


OLDER: dict[str, Any] = {"properties": {"yy": {"items": [True]}}, "$defs": {"d": DECLARED}}
BY_NAME_IN_THE_OLDER_FORM: list[dict[str, Any]] = [
    {**OLDER, "patternProperties": {"^b": {"type": "integer"}}, "additionalProperties": False},
    {**OLDER, "allOf": [DECLARED], "unevaluatedProperties": False},
    {**OLDER, "$ref": "#/$defs/d", "unevaluatedProperties": {"type": "integer"}},
    {**OLDER, "patternProperties": {"^[bz]": {"$recursiveRef": "#", "unevaluatedProperties": False}}},
]


def _found(schema: dict[str, Any], value: Any) -> str | None:
    """The problem of a value, however slow the machine is."""
    return problem(schema, json.dumps(value), limit_seconds=60)


def _messages(validator: Any, value: Any) -> set[str | None]:
    """What jsonschema finds, in our words; None if it finds nothing."""
    return {f"at {error.json_path}, {error.message}" for error in validator.iter_errors(value)} or {None}


@pytest.mark.parametrize("value", OBJECTS)
def test_properties_are_matched_by_name_as_jsonschema_does(value: dict[str, Any]) -> None:
    for schema in BY_NAME:
        assert _found(schema, value) in _messages(Draft202012Validator(schema), value)
    for schema in BY_NAME_IN_THE_OLDER_FORM:
        for one in (value, {"b": value}, {"zz": value}):
            assert _found(schema, one) in _messages(Draft201909Validator(schema), one)


@pytest.mark.parametrize("dialect", ["https://json-schema.org/draft/2020-12/schema", "urn:unknown", 5])
def test_the_dialect_that_a_part_names_changes_nothing(dialect: Any) -> None:
    part = {"$schema": dialect, "multipleOf": 0.1, "uniqueItems": True}
    schema = {"$ref": "#/$defs/d", "$defs": {"d": part}}
    assert _found(schema, 0.3) is None
    assert "items 0 and 1" in str(_found(schema, [1, 1]))


def test_a_property_may_be_named_like_the_keyword_of_the_dialect() -> None:
    schema = {"properties": {"$schema": {"type": "string"}}, "additionalProperties": False}
    assert _found(schema, {"$schema": "x"}) is None
    assert "not of type" in str(_found(schema, {"$schema": 1}))


DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAME = "a" * 200 + "!"
BACK = r"(?=(a|a)*b)"
DOUBLING = {
    f"d{n}": {"if": True, "then": {"$ref": f"#/$defs/d{n + 1}"}, "$ref": f"#/$defs/d{n + 1}"}
    for n in range(60)
} | {"d60": {}}
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
    "large items": ({"not": {"uniqueItems": True}}, [{"a": "a" * 100, "b": n} for n in range(200_000)]),
    "itself": ({"$ref": "#"}, 1),
    "depth": ({"items": {"$ref": "#"}, "not": {"const": 1}}, json.loads("[" * 500 + "]" * 500)),
    "a pattern of names": ({"not": {"patternProperties": {BACK: False}}}, {NAME: 1}),
    "a pattern of no names": (
        {"not": {"patternProperties": {BACK: True}, "additionalProperties": False}},
        {NAME: 1},
    ),
    "a pattern of names of another part": (
        {"not": {"allOf": [{"patternProperties": {BACK: True}}], "unevaluatedProperties": False}},
        {NAME: 1},
    ),
    "a pattern of names in the older form": (
        {
            "not": {
                "$ref": "#/$defs/p",
                "properties": {"p": {"items": [True]}},
                "unevaluatedProperties": False,
            },
            "$defs": {"p": {"patternProperties": {BACK: True}}},
        },
        {NAME: 1},
    ),
    "many patterns of names": (
        {"not": {"patternProperties": {f"a{n:03}b": False for n in range(1600)}}},
        {f"a{n}": 1 for n in range(20_000)},
    ),
    "a part of another dialect": (
        {"$ref": "#/$defs/p", "$defs": {"p": {"$schema": DIALECT, "not": {"pattern": BACK}}}},
        NAME,
    ),
    "a dialect's own schema": (
        {"$id": "urn:x", "$dynamicAnchor": "meta", "pattern": BACK, "$dynamicRef": DIALECT},
        {"$defs": {"x": NAME}},
    ),
    "doubling references to properties": (
        {"$defs": DOUBLING, "not": {"unevaluatedProperties": False, "$ref": "#/$defs/d0"}},
        {"a": 1},
    ),
    "doubling references to items": (
        {"$defs": DOUBLING, "not": {"unevaluatedItems": False, "$ref": "#/$defs/d0"}},
        [1],
    ),
}


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """Fails the test after this time, also within a search that lets no other thread run."""

    def stop(*_: object) -> None:
        pytest.fail(f"not done within {seconds} seconds")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_check_that_takes_too_long_reports_nothing(name: str) -> None:
    schema, value = HOSTILE[name]
    with _at_most(seconds=30):
        assert problem(schema, json.dumps(value)) is None


INVALID: list[tuple[dict[str, Any], Any, str]] = [
    ({"type": "text"}, 1, "'type', which is 'text'"),
    ({"minLength": "5"}, "a", "'minLength', which is '5'"),
    ({"contains": {}, "minContains": []}, [1], "a keyword beside it is invalid"),
    ({"properties": 5}, {}, "'properties', which is '5'"),
    ({"allOf": [5]}, 1, "'allOf', which is '[5]'"),
    ({"multipleOf": 0}, 1, "'multipleOf', which is '0'"),
    ({"multipleOf": "x"}, 1, "'multipleOf', which is 'x'"),
    ({"pattern": 5}, "a", "'pattern', which is '5'"),
    ({"pattern": "("}, "a", "pattern '(' cannot be read: missing )"),
    ({"patternProperties": {"a{1000000000}": {}}}, {"a": 1}, "1000000000 parts up to 'a{1000000000}'"),
]


@pytest.mark.parametrize(("part", "value", "says"), INVALID)
def test_an_invalid_part_that_no_grammar_was_made_of_is_named(
    part: dict[str, Any], value: Any, says: str
) -> None:
    with pytest.raises(SchemaError) as refused:
        problem({"not": part}, json.dumps(value))
    assert says in str(refused.value)
