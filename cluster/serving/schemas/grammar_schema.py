"""What a grammar can hold a text to of a JSON Schema. Pure.

Both engines follow grammars of what `to_grammar_schema` returns. It reads a schema as its author means it:

- Annotations, and what is unknown, are ignored, as JSON Schema says.
- An object that declares properties and says nothing about others has no others; so has an array that
  declares its first items. All that bears on one object (`allOf`, `anyOf`, `$ref` …) declares together.
- A value of which nothing is said is any JSON, of so many levels, items and members that it comes to an end.
- What a grammar cannot follow is left out, and then an answer is to be checked (`checks.py`).
"""

from collections import Counter, deque
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import regex

from cluster.serving.schemas.declared import Declarations, combined, objects, own, schemas
from cluster.serving.schemas.finite import Schema, without_endless
from cluster.serving.schemas.patterns import followed
from cluster.serving.schemas.references import References, SchemaError, shown

_MAX_COUNT = 100_000
"""Of characters, items or properties."""
_MAX_PARTS = 20_000
"""Schemas within a schema; what a reference leads to counts again for each place that specialises it."""

_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
)
"""That llguidance knows. Any other is an annotation."""
_AS_IT_IS = frozenset(
    [
        *("type", "const", "enum", "minLength", "maxLength", "minItems", "maxItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    ]
)
_ONLY_CHECKED = frozenset(
    [
        *("not", "if", "contains", "unevaluatedItems"),
        *("dependentRequired", "dependentSchemas", "dependencies"),
    ]
)
_OF_OBJECTS = frozenset(
    [
        *("properties", "patternProperties", "additionalProperties", "required", "propertyNames"),
        *("minProperties", "maxProperties", "unevaluatedProperties"),
    ]
)
_OF_ARRAYS = frozenset(["items", "prefixItems", "additionalItems", "uniqueItems"])
_COUNTS = frozenset(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"])
_TEXTS = frozenset(["$ref", "pattern", "format"])
_TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"]
_CONSTRAINTS = _AS_IT_IS | _ONLY_CHECKED | _OF_OBJECTS | _OF_ARRAYS | {"pattern", "format"}

_ANY_DEPTH = 10
_ANY_ITEMS = 1024
_ANY_MEMBERS = 64
_ANY_NAME = r"^[\s\S]{0,128}$"
"""Bounds of a value of which nothing is said: a weak model adds to it for ever. Texts and numbers have none,
for whoever means them would lose their ends without a word."""


@dataclass(frozen=True)
class GrammarSchema:
    schema: dict[str, Any]
    """For llguidance. It refers to nothing but its own `$defs`."""
    is_exact: bool
    """Whatever follows it is valid; otherwise an answer is to be checked."""


def to_grammar_schema(schema: dict[str, Any], *, is_object: bool = False) -> GrammarSchema:
    """`is_object`: the value is one, whether the schema says so or not. Raises SchemaError if the schema
    cannot be read, or nothing finite can follow it."""
    return _Translator(schema).whole(is_object=is_object)


@dataclass(frozen=True)
class _Part:
    """A schema that describes a value together with others, which one of them closes."""

    shared: frozenset[str] = frozenset()
    """Properties that others describe too."""
    is_all_shared: bool = False


_ALONE: _Part | None = None
_SHARED = _Part(is_all_shared=True)


class _Translator:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._references = References(root)
        self._declarations = Declarations(self._references)
        self._names: dict[tuple[str, _Part | None], str] = {("#", _ALONE): "root"}
        """Of definitions: what a reference leads to, as a part of something or alone."""
        self._left: deque[tuple[str, str, _Part | None]] = deque()
        self._definitions: dict[str, Schema] = {}
        self._num_parts = 0
        self._is_exact = True

    def whole(self, *, is_object: bool) -> GrammarSchema:
        root = {"type": "object", **self._root} if is_object else self._root
        self._definitions["root"] = self._translated(root, _ALONE)
        while self._left:
            name, reference, part = self._left.popleft()
            self._definitions[name] = self._translated(self._references.target(reference), part)
        definitions = without_endless(self._definitions)
        if definitions["root"] is False:
            raise SchemaError(
                "no finite value can follow it: what it requires leads back to itself, or is 'false'"
            )
        return GrammarSchema({"$ref": "#/$defs/root", "$defs": definitions}, self._is_exact)

    def _translated(self, schema: Any, part: _Part | None) -> Schema:
        self._num_parts += 1
        if self._num_parts > _MAX_PARTS:
            raise SchemaError(f"it has more than {_MAX_PARTS} schemas where its references are followed")
        if isinstance(schema, bool):
            return self._anything(part) if schema else False
        if not isinstance(schema, dict):
            raise SchemaError(f"{shown(schema)} stands where a schema should")
        _check_shape(schema)
        schema = self._plain(schema)
        groups = dict(combined(schema))
        if "$ref" in schema:
            groups["$ref"] = [{"$ref": schema["$ref"]}]
        if not groups:
            return self._held_alone(schema, part) or self._anything(part)
        return self._held_together(schema, groups, part)

    def _plain(self, schema: dict[str, Any]) -> dict[str, Any]:
        """With one spelling for what has several, and its type where only one is meant."""
        if isinstance(schema.get("items"), list):
            others = {"items": schema["additionalItems"]} if "additionalItems" in schema else {}
            left = {key: schema[key] for key in schema if key not in ("items", "additionalItems")}
            schema = {**left, "prefixItems": schema["items"], **others}
        if "$ref" in schema:
            target = self._references.target(schema["$ref"])
            if isinstance(target, dict):
                # What is said twice would keep llguidance from following a reference back to itself.
                schema = {
                    key: value
                    for key, value in schema.items()
                    if key == "$ref" or key not in target or target[key] != value
                }
        elif not {"type", "enum", "const"} & schema.keys():
            is_object = {"properties", "patternProperties"} & schema.keys()
            is_array = {"items", "prefixItems"} & schema.keys()
            if is_object and not is_array:
                return {"type": "object", **schema}
            if is_array and not is_object:
                return {"type": "array", **schema}
        return schema

    # What several schemas say of one value.

    def _held_together(
        self, schema: dict[str, Any], groups: dict[str, list[Any]], part: _Part | None
    ) -> Schema:
        """`groups` are the schema's parts by keyword."""
        keyword, *more = groups
        if len(groups.get("oneOf", [])) > 1:
            self._is_exact = False
        is_choice = not more and keyword in ("anyOf", "oneOf")
        base = {key: schema[key] for key in schema if key in _CONSTRAINTS}
        if not base and not more and (is_choice or len(groups[keyword]) == 1):
            held = [self._part(one, part) for one in groups[keyword]]
            return {"anyOf": held} if is_choice else held[0]
        if part is not None:
            return self._all_of(base, groups, part)
        if is_choice:
            # Each alternative declares together with what is beside the choice, and with no other one.
            return {"anyOf": [self._closed(base, {"allOf": [one]}) for one in groups[keyword]]}
        return self._closed(base, groups)

    def _closed(self, base: dict[str, Any], groups: dict[str, list[Any]]) -> Schema:
        """All of these, and no property that none of them declares."""
        members = [
            base,
            *groups.pop("allOf", []),
            *({key: some} for key, some in groups.items() if key != "$ref"),
        ]
        members += groups.get("$ref", [])
        declared = [self._declarations.of(member) for member in members]
        described = Counter(name for one in declared for name in one.described)
        part = _Part(
            frozenset(name for name, times in described.items() if times > 1),
            is_all_shared=sum(bool(one.patterns) for one in declared) > 1,
        )
        held = [self._part(member, part) for member in members if member]
        declares = reduce(or_, declared)
        if (declares.described or declares.patterns) and not declares.is_settled:
            is_object = any(isinstance(one, dict) and one.get("type") == "object" for one in held)
            held.append(
                {
                    **({"type": "object"} if is_object else {}),
                    "properties": dict.fromkeys(sorted(declares.names), True),
                    **(
                        {"patternProperties": dict.fromkeys(sorted(declares.patterns), True)}
                        if declares.patterns
                        else {}
                    ),
                    "additionalProperties": False,
                }
            )
        return {"allOf": held}

    def _all_of(self, base: dict[str, Any], groups: dict[str, list[Any]], part: _Part) -> Schema:
        held = [self._translated(base, part)] if base else []
        for keyword, some in groups.items():
            parts = [self._part(one, part) for one in some]
            held += [{"anyOf": parts}] if keyword in ("anyOf", "oneOf") else parts
        return {"allOf": held}

    def _part(self, schema: Any, part: _Part | None) -> Schema:
        if isinstance(schema, dict) and schema.keys() == {"$ref"} and isinstance(schema["$ref"], str):
            return self._reference(schema["$ref"], part)
        return self._translated(schema, part)

    def _reference(self, reference: str, part: _Part | None) -> Schema:
        key = (reference, part)
        if key not in self._names:
            self._names[key] = str(len(self._names))
            self._left.append((self._names[key], reference, part))
        return {"$ref": f"#/$defs/{self._names[key]}"}

    # What one schema says.

    def _held_alone(self, schema: dict[str, Any], part: _Part | None) -> dict[str, Any]:
        held = {keyword: schema[keyword] for keyword in schema if keyword in _AS_IT_IS}
        for keyword in _ONLY_CHECKED & schema.keys():
            self._is_exact = False
            self._check_references(schema[keyword])
        self._translate_text(schema, held)
        if _is(schema, "array"):
            self._translate_array(schema, held, part)
        if _is(schema, "object"):
            self._translate_object(schema, held, part)
        return held

    def _check_references(self, value: Any) -> None:
        """Raises SchemaError for one, in what is not held, that leads nowhere."""
        if isinstance(value, dict) and "$ref" in value:
            self._references.target(value["$ref"])
        for within in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._check_references(within)

    def _translate_text(self, schema: dict[str, Any], held: dict[str, Any]) -> None:
        if (format_ := schema.get("format")) in _FORMATS:
            held["format"] = format_
        if "pattern" not in schema:
            return
        pattern = schema["pattern"]
        patterns, is_exact = followed(pattern)
        if not is_exact:
            self._is_exact = False
            try:
                regex.compile(pattern)
            except regex.error as error:
                raise SchemaError(f"the pattern {shown(pattern)} cannot be read: {error}") from error
        if patterns:
            held["pattern"] = patterns[0]
        for other in patterns[1:]:
            held.setdefault("allOf", []).append({"pattern": other})

    def _translate_array(self, schema: dict[str, Any], held: dict[str, Any], part: _Part | None) -> None:
        within = _ALONE if part is None else _SHARED
        first = schemas(schema, "prefixItems")
        least = schema.get("minItems", 0)
        if first:
            held["prefixItems"] = [self._part(one, within) for one in first]
        if "items" in schema:
            held["items"] = self._part(schema["items"], within)
        elif part is None and first and least <= len(first):
            held["items"] = False
        elif part is None:
            held["items"] = self._anything(part)
            held.setdefault("maxItems", max(_ANY_ITEMS, least))
        if schema.get("uniqueItems") is True:
            self._is_exact = False
            most = self._num_values(schema.get("items"))
            if not first and most is not None:
                held["maxItems"] = min(most, held.get("maxItems", most))

    def _num_values(self, schema: Any) -> int | None:
        """Of an enumeration; None for another schema."""
        schema = self._references.resolved(schema)
        values = schema.get("enum") if isinstance(schema, dict) else None
        return len(values) if isinstance(values, list) else None

    def _translate_object(self, schema: dict[str, Any], held: dict[str, Any], part: _Part | None) -> None:
        within = _ALONE if part is None else _SHARED
        properties = {
            name: self._part(one, _SHARED if part and (part.is_all_shared or name in part.shared) else _ALONE)
            for name, one in objects(schema, "properties").items()
        }
        patterns = {
            pattern: self._part(one, within) for pattern, one in objects(schema, "patternProperties").items()
        }
        others = self._others(schema, part, within)
        required = [name for name in schemas(schema, "required") if isinstance(name, str)]
        if part is None:
            rest = self._part(schema.get("additionalProperties", True), within)
            properties |= {name: rest for name in required if name not in properties}
        if "propertyNames" in schema:
            others = self._translate_names(schema["propertyNames"], properties, patterns, others)
        has_optional = not properties.keys() <= set(required)
        self._translate_count(schema, held, can=part is None and not has_optional)
        if others == _ANYTHING and not patterns and not has_optional:
            held.setdefault("maxProperties", max(_ANY_MEMBERS, held.get("minProperties", 0), len(required)))
            patterns, others = {_ANY_NAME: others}, False
        if properties:
            held["properties"] = properties
        if patterns:
            held["patternProperties"] = patterns
        if required:
            held["required"] = required
        if others is not True:
            held["additionalProperties"] = others

    def _others(self, schema: dict[str, Any], part: _Part | None, within: _Part | None) -> Schema:
        """What properties are that the schema does not name."""
        if "additionalProperties" in schema:
            return self._part(schema["additionalProperties"], within)
        others = schema.get("unevaluatedProperties", False)
        self._is_exact = self._is_exact and isinstance(others, bool)
        is_silent = others is False and "propertyNames" not in schema
        if part is None and is_silent and {"properties", "patternProperties"} & schema.keys():
            declared = own(schema)
            if declared.patterns or schema.get("minProperties", 0) <= len(declared.names):
                return False
        return self._anything(part)

    def _translate_names(
        self, rules: Any, properties: dict[str, Schema], patterns: dict[str, Schema], others: Schema
    ) -> Schema:
        """Holds names to `propertyNames`. Returns what unnamed properties are then."""
        rules = self._references.resolved(rules)
        self._translated(rules, _SHARED)  # It may be wrong.
        if not isinstance(rules, dict):
            return others if rules else False
        names = rules.get("enum", [rules["const"]] if "const" in rules else None)
        if isinstance(names, list):
            allowed = [name for name in names if isinstance(name, str)]
            for name in properties.keys() - set(allowed):
                properties[name] = False
            for name in allowed:
                properties.setdefault(name, others)
            return False
        pattern = rules.get("pattern")
        if _CONSTRAINTS & rules.keys() <= {"type", "minLength", "maxLength"}:
            least, most = rules.get("minLength", 0), rules.get("maxLength", "")
            pattern = rf"^[\s\S]{{{least},{most}}}$"
        elif _CONSTRAINTS & rules.keys() - {"type"} != {"pattern"}:
            pattern = None
        if (
            isinstance(pattern, str)
            and not (properties or patterns)
            and followed(pattern) == ([pattern], True)
        ):
            patterns[pattern] = others
            return False
        self._is_exact = False
        return others

    def _translate_count(self, schema: dict[str, Any], held: dict[str, Any], *, can: bool) -> None:
        """Holds an object to a number of properties, where llguidance can: without any that it may lack."""
        for keyword in ("minProperties", "maxProperties"):
            if keyword in schema and can:
                held[keyword] = schema[keyword]
            elif keyword in schema:
                self._is_exact = False

    # What nothing is said of.

    def _anything(self, part: _Part | None) -> Schema:
        if part is not None:
            return True
        if "any0" not in self._definitions:
            self._definitions |= {f"any{depth}": _any(depth) for depth in range(_ANY_DEPTH + 1)}
        return _ANYTHING


_ANYTHING: Schema = {"$ref": f"#/$defs/any{_ANY_DEPTH}"}


def _any(depth: int) -> Schema:
    """Any JSON in which arrays and objects are no deeper within one another."""
    kinds: list[Schema] = [{"type": ["null", "boolean", "number", "string"]}]
    if depth:
        part = {"$ref": f"#/$defs/any{depth - 1}"}
        kinds += [
            {"type": "array", "items": part, "maxItems": _ANY_ITEMS},
            {
                "type": "object",
                "patternProperties": {_ANY_NAME: part},
                "additionalProperties": False,
                "maxProperties": _ANY_MEMBERS,
            },
        ]
    return {"anyOf": kinds}


def _is(schema: dict[str, Any], type_: str) -> bool:
    """Whether the schema says something of arrays, or objects."""
    types = schema.get("type")
    keywords = _OF_OBJECTS if type_ == "object" else _OF_ARRAYS
    return types == type_ or (isinstance(types, list) and type_ in types) or bool(keywords & schema.keys())


def _check_shape(schema: dict[str, Any]) -> None:
    """Raises SchemaError for what is read here and is not as it should be; llguidance checks the rest."""
    for keyword in _TEXTS & schema.keys():
        if not isinstance(schema[keyword], str):
            raise SchemaError(f"'{keyword}' is {shown(schema[keyword])}; it should be text")
    if not isinstance(schema.get("enum", []), list):
        raise SchemaError(f"'enum' is {shown(schema['enum'])}; it should be a list")
    types = schema.get("type", [])
    for type_ in types if isinstance(types, list) else [types]:
        if type_ not in _TYPES:
            raise SchemaError(f"'type' is {shown(type_)}; it should be one of {', '.join(_TYPES)}, or a list")
    for keyword in _COUNTS & schema.keys():
        count = schema[keyword]
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= _MAX_COUNT:
            raise SchemaError(
                f"'{keyword}' is {shown(count)}; it should be a whole number from 0 to {_MAX_COUNT}"
            )
