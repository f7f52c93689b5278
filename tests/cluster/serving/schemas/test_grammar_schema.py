"""What a grammar enforces of a schema, seen in the texts that can be generated."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.contracts.errors import InvalidRequest
from cluster.serving.schemas import grammar_schema
from cluster.serving.schemas.grammar_schema import to_grammar_schema
from cluster.serving.schemas.references import SchemaError
from cluster.serving.text.grammar import json_grammar
from tests.cluster.serving.schemas.corpus import MODELS
from tests.cluster.serving.schemas.drawn import schemas
from tests.cluster.serving.writer import GUIDANCE, can_write, written

pytestmark = pytest.mark.slow

Schema = dict[str, Any]

A: Schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
B: Schema = {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]}


def _values(schema: Schema, *, seeds: int = 12) -> list[Any]:
    """Some texts that can be generated."""
    texts = [written(json_grammar(schema), seed) for seed in range(seeds)]
    assert None not in texts, "one does not end"
    return [json.loads(text) for text in texts if text is not None]


def _keys(schema: Schema) -> set[frozenset[str]]:
    """The properties of the objects that can be generated."""
    return {frozenset(value) for value in _values(schema)}


CLOSED: dict[str, tuple[Schema, set[frozenset[str]]]] = {
    "no properties": ({"type": "object", "properties": {}}, {frozenset()}),
    "properties": (A, {frozenset("a")}),
    "no type": ({"properties": A["properties"], "required": ["a"]}, {frozenset("a")}),
    "definition": ({"$ref": "#/$defs/A", "$defs": {"A": A}}, {frozenset("a")}),
    "all of two": ({"allOf": [A, B]}, {frozenset("ab")}),
    "all of two definitions": (
        {"allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "$defs": {"A": A, "B": B}},
        {frozenset("ab")},
    ),
    "beside a reference": (
        {"$ref": "#/$defs/A", "properties": {"c": {"type": "null"}}, "required": ["c"], "$defs": {"A": A}},
        {frozenset("ac")},
    ),
    "any of two": ({"anyOf": [A, B]}, {frozenset("a"), frozenset("b")}),
    "one of two": ({"oneOf": [A, B]}, {frozenset("a"), frozenset("b")}),
    "beside alternatives": (
        {"properties": {"c": {"const": 1}}, "required": ["c"], "anyOf": [A, B]},
        {frozenset("ac"), frozenset("bc")},
    ),
    "alternatives that require": (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {frozenset("a"), frozenset("b"), frozenset("ab")},
    ),
    "several choices": (
        {"allOf": [{"anyOf": [A, B]}, {"properties": {"c": {"const": 1}}, "required": ["c"]}]},
        {frozenset("ac"), frozenset("bc"), frozenset("abc")},
    ),
    "nothing unevaluated": ({"allOf": [A, B], "unevaluatedProperties": False}, {frozenset("ab")}),
    "required only": (
        {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a", "z"]},
        {frozenset("az")},
    ),
    "names": (
        {"type": "object", "propertyNames": {"enum": ["a"]}, "minProperties": 1},
        {frozenset(), frozenset("a")},
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_an_object_has_the_properties_that_are_declared_for_it_and_no_others(name: str) -> None:
    schema, allowed = CLOSED[name]
    keys = _keys(schema)
    assert keys
    assert keys <= allowed
    for value in _values(schema):
        if to_grammar_schema(schema).is_exact:
            jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (
            lambda part: {"type": "object", "properties": {"x": part}, "required": ["x"]},
            lambda value: value["x"],
        ),
        (lambda part: {"type": "array", "items": part, "minItems": 1, "maxItems": 1}, lambda value: value[0]),
        (lambda part: {"type": "array", "prefixItems": [part], "minItems": 1}, lambda value: value[0]),
        (lambda part: {"items": [part], "minItems": 1}, lambda value: value[0]),
        (
            lambda part: {"type": "object", "patternProperties": {"^x$": part}, "minProperties": 1},
            lambda value: value["x"],
        ),
        (
            lambda part: {"type": "object", "additionalProperties": part, "minProperties": 1},
            lambda value: next(iter(value.values())),
        ),
        (
            lambda part: {"allOf": [{"properties": {"x": part}, "required": ["x"]}, B]},
            lambda value: value["x"],
        ),
        (lambda part: {"anyOf": [part]}, lambda value: value),
        (lambda part: {"allOf": [part]}, lambda value: value),
        (lambda part: {"$ref": "#/definitions/p", "definitions": {"p": part}}, lambda value: value),
    ],
)
def test_objects_within_are_closed_too(wrap: Any, unwrap: Any) -> None:
    assert {frozenset(unwrap(value)) for value in _values(wrap(A))} == {frozenset("a")}


def test_an_array_that_declares_its_first_items_has_no_others() -> None:
    assert {len(value) for value in _values({"prefixItems": [{"const": 1}, {"const": 2}]})} <= {0, 1, 2}
    longer = _values({"prefixItems": [{"const": 1}], "minItems": 2})
    assert min(len(value) for value in longer) >= 2


OPEN: dict[str, Schema] = {
    "true": {**A, "additionalProperties": True},
    "a schema": {**A, "additionalProperties": {"type": "boolean"}},
    "unevaluated": {**A, "unevaluatedProperties": True},
    "in a part": {"allOf": [{**A, "additionalProperties": True}, B]},
    "no properties": {"type": "object"},
    "names": {"type": "object", "propertyNames": {"pattern": "^[a-c]+$"}},
}


@pytest.mark.parametrize("name", OPEN)
def test_an_object_with_additional_properties_stays_open(name: str) -> None:
    values = _values(OPEN[name], seeds=30)
    assert any(value.keys() - set("ab") for value in values)
    for value in values:
        jsonschema.validate(value, OPEN[name])


@pytest.mark.parametrize("text", ["[", '{"', ",0", ",{", " \n"])
@pytest.mark.parametrize("type_", ["object", "array", None])
def test_an_unconstrained_value_ends_even_if_the_model_would_extend_it(
    monkeypatch: pytest.MonkeyPatch, type_: str | None, text: str
) -> None:
    for name, bound in {"DEPTH": 2, "ITEMS": 3, "MEMBERS": 3}.items():
        monkeypatch.setattr(grammar_schema, f"_ANY_{name}", bound)
    monkeypatch.setattr(grammar_schema, "_ANYTHING", {"$ref": "#/$defs/any2"})
    schema = {"title": f"{text} {type_}", **({"type": type_} if type_ else {})}
    said = written(json_grammar(schema), 0, num_tokens=20_000, insists_on=text)
    assert said is not None
    json.loads(said)


@pytest.mark.parametrize("value", ["long " * 2000, 1234567890123456789, 1.5e-12, [0] * 500, [[[[[[]]]]]]])
def test_an_unconstrained_value_allows_ordinary_json(value: Any) -> None:
    assert can_write(json_grammar({"type": "object"}), json.dumps({"a": value}))


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_schemas_of_pydantic_models_are_followed(model: Any, mode: Any) -> None:
    schema = model.model_json_schema(mode=mode)
    is_exact = to_grammar_schema(schema).is_exact
    for value in _values(schema, seeds=6):
        if is_exact:
            jsonschema.validate(value, schema)


DETERMINED = ["Account", "Owner", "Node", "Left", "Shapes", "Page[int]", "Strict", "Open"]
"""The models whose schemas express all their checks."""


@pytest.mark.parametrize(
    "model", [model for model in MODELS if model.__name__ in DETERMINED], ids=lambda model: model.__name__
)
def test_text_by_a_pydantic_schema_validates_as_its_model(model: Any) -> None:
    for value in _values(model.model_json_schema()):
        model.model_validate(value, strict=False)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {
            "type": "object",
            "properties": {"next": {"$ref": "#", "description": "The next.", "nullable": True}},
        },
        {"type": "object", "properties": {"next": {"$ref": "#", "type": "object"}}},
        {"type": "array", "items": {"$ref": "#"}},
        {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#"}}]},
        {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
        {"$id": "https://example.com/me", "properties": {"next": {"$ref": "https://example.com/me#"}}},
        {"$ref": "#node", "$defs": {"n": {"$anchor": "node", "properties": {"next": {"$ref": "#/$defs/n"}}}}},
        {
            "$ref": "#/$defs/N",
            "$defs": {
                "N": {"allOf": [A, {"properties": {"n": {"anyOf": [{"$ref": "#/$defs/N"}, {"const": 0}]}}}]}
            },
        },
    ],
)
def test_a_schema_may_refer_to_itself(schema: Schema) -> None:
    for value in _values(schema):
        jsonschema.validate(value, schema)


def _within(definitions: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/x"}},
        "required": ["x"],
        "$defs": definitions,
    }


ENDLESS: dict[str, Schema] = {
    "itself": {"$ref": "#"},
    "required": {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
    "mutual": _within(
        {
            "x": {"properties": {"y": {"$ref": "#/$defs/y"}}, "required": ["y"]},
            "y": {"properties": {"x": {"$ref": "#/$defs/x"}}, "required": ["x"]},
        }
    ),
    "references only": _within({"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}),
    "items": {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    "first items": {"prefixItems": [{"type": "null"}, {"$ref": "#"}], "minItems": 2},
    "other properties": _within(
        {"x": {"type": "object", "additionalProperties": {"$ref": "#/$defs/x"}, "required": ["a"]}}
    ),
    "every alternative": _within(
        {
            "x": {
                "anyOf": [
                    {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 1},
                    {"properties": {"y": {"$ref": "#/$defs/x"}}, "required": ["y"]},
                ]
            }
        }
    ),
    "all of": _within({"x": {"allOf": [A, {"properties": {"y": {"$ref": "#/$defs/x"}}, "required": ["y"]}]}}),
    "false": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "a long way": _within(
        {f"{n}": {"properties": {"a": {"$ref": f"#/$defs/{n + 1}"}}, "required": ["a"]} for n in range(500)}
        | {"x": {"$ref": "#/$defs/0"}, "500": {"$ref": "#/$defs/x"}}
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_schema_without_finite_values_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="no finite value"):
        to_grammar_schema(ENDLESS[name])


@pytest.mark.parametrize("num", [8, 9])
def test_a_pattern_with_too_many_look_aheads_is_refused_before_it_is_compiled(num: int) -> None:
    schema = {"type": "string", "pattern": "^" + "".join(f"(?=.*{n}x)" for n in range(num))}
    if num == 8:
        assert to_grammar_schema(schema).is_exact
    else:
        with pytest.raises(SchemaError, match="begins with 9 look-aheads; 8 are allowed"):
            to_grammar_schema(schema)


@pytest.mark.parametrize("beside", [{"not": {"const": "a"}}, {"uniqueItems": True}])
def test_a_pattern_that_answers_cannot_be_checked_against_is_refused(beside: dict[str, Any]) -> None:
    part = {"pattern": "^a{20000}$"}
    assert to_grammar_schema(part).is_exact
    for schema in (part, {"patternProperties": {"^a{20000}$": {}}}, {"properties": {"a": part}}):
        with pytest.raises(SchemaError, match="20002 parts"):
            to_grammar_schema({**schema, **beside})


def _chain(num: int) -> dict[str, Any]:
    steps = {f"d{n}": {"properties": {"a": {"$ref": f"#/$defs/d{n + 1}"}}} for n in range(num)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{num}": {"type": "string"}}}


def test_a_chain_of_definitions_that_would_overflow_the_stack_is_refused() -> None:
    assert to_grammar_schema(_chain(370)).is_exact
    with pytest.raises(SchemaError, match=r"1\d{3} levels of schemas .*; 800 are allowed"):
        to_grammar_schema(_chain(600))


def test_many_definitions_that_refer_to_no_other_are_no_chain() -> None:
    leaves = {f"d{n}": {"properties": {"a": {"type": "string"}}} for n in range(1000)}
    properties = {name: {"$ref": f"#/$defs/{name}"} for name in leaves}
    assert to_grammar_schema({"properties": properties, "$defs": leaves}).is_exact


def test_infinite_alternatives_are_left_out() -> None:
    endless = ENDLESS["required"]
    for schema, expected in (
        ({"properties": {"a": {"$ref": "#/$defs/e"}}, "$defs": {"e": _moved(endless)}}, {}),
        ({"anyOf": [{"$ref": "#/$defs/e"}, {"const": {}}], "$defs": {"e": _moved(endless)}}, {}),
        ({"type": "array", "items": {"$ref": "#/$defs/e"}, "$defs": {"e": _moved(endless)}}, []),
    ):
        assert all(value == expected for value in _values(schema))


def _moved(schema: Schema) -> Schema:
    """The infinite schema, as a definition `e`."""
    loaded: Schema = json.loads(json.dumps(schema).replace('"#"', '"#/$defs/e"'))
    return loaded


@pytest.mark.parametrize(
    ("schema", "is_exact"),
    [
        ({"type": "string", "format": "password"}, True),
        ({"type": "string", "format": "date", "deprecated": True, "x-order": 1, "discriminator": {}}, True),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, False),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, False),
        ({"type": "object", "properties": {"a": True, "b": True}, "minProperties": 1}, False),
        ({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1}, True),
        ({"type": "integer", "not": {"const": 7}}, False),
        ({"type": "array", "contains": {"const": 7}}, False),
        ({"if": {"const": 7}, "then": False}, False),
        ({**A, "dependentRequired": {"a": ["b"]}}, False),
        ({"type": "object", "propertyNames": {"format": "email"}}, False),
    ],
)
def test_annotations_are_ignored_and_unenforceable_constraints_are_left_to_checks(
    schema: Schema, is_exact: bool
) -> None:
    assert to_grammar_schema(schema).is_exact == is_exact
    assert _values(schema)


def test_a_set_is_no_longer_than_its_number_of_values() -> None:
    schema = {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True}
    assert max(len(value) for value in _values(schema, seeds=60)) <= 3


@given(schemas(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_generated_text_is_valid_and_translation_is_idempotent(schema: Schema, seed: int) -> None:
    text = written(json_grammar(schema), seed)
    if text is not None:
        jsonschema.validate(json.loads(text), schema)


KEYWORDS = st.sampled_from(
    [
        *(
            "type",
            "properties",
            "required",
            "items",
            "prefixItems",
            "anyOf",
            "allOf",
            "oneOf",
            "$ref",
            "$defs",
        ),
        *("enum", "const", "pattern", "format", "minItems", "minProperties", "propertyNames", "uniqueItems"),
        *("additionalProperties", "patternProperties", "unevaluatedProperties", "maxLength", "multipleOf"),
        *("not", "if", "$anchor", "$id", "minimum", "contains", "dependentRequired"),
    ]
)
TEXTS = st.sampled_from(["#", "#/$defs/a", "#a", "string", "object", "(?=", "a"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | TEXTS,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(KEYWORDS | st.just("a"), some, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYWORDS, ANYTHING, max_size=4))
@settings(max_examples=400, deadline=None)
def test_any_input_as_a_schema_is_supported_or_refused_with_a_message(schema: Schema) -> None:
    refused = None
    try:
        GUIDANCE.start(json_grammar(schema))
    except InvalidRequest as error:
        refused = error
    assert refused is None or (refused.code, refused.param) == ("unsupported_schema", "response_format")
