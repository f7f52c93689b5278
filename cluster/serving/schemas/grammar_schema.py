"""Translates a JSON Schema to the part of it that a grammar can enforce. Pure.

Both engines build grammars from what `to_grammar_schema` returns. It interprets a schema as its author means
it:

- Annotations and unknown keywords are ignored, as JSON Schema specifies.
- An object that declares properties and does not mention others has no others; the same goes for an array
  that declares its first items. All schemas for one object (`allOf`, `anyOf`, `$ref` …) declare properties
  together.
- An unconstrained value is any JSON, with limited depth, items and members so that it ends.
- What a grammar cannot enforce is left out, and answers must be checked instead (`checks.py`).
"""

from collections import Counter, deque
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from cluster.contracts.json_schema import MAX_LOOK_AHEADS
from cluster.contracts.patterns import regular_patterns
from cluster.serving.schemas.declared import Declarations, combined, objects, own, schemas
from cluster.serving.schemas.depth import check_depth
from cluster.serving.schemas.expressions import Expressions
from cluster.serving.schemas.finite import Schema, without_endless
from cluster.serving.schemas.references import References, SchemaError, shown

_MAX_COUNT = 100_000
"""Maximum number of characters, items or properties."""
MAX_PARTS = 20_000
"""Maximum number of subschemas. The target of a reference counts again for each place that specializes it."""

_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
)
"""Formats that llguidance supports. Any other format is an annotation."""
_COPIED = frozenset(
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
_OBJECT_KEYWORDS = frozenset(
    [
        *("properties", "patternProperties", "additionalProperties", "required", "propertyNames"),
        *("minProperties", "maxProperties", "unevaluatedProperties"),
    ]
)
_ARRAY_KEYWORDS = frozenset(["items", "prefixItems", "additionalItems", "uniqueItems"])
_COUNTS = frozenset(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"])
_TEXTS = frozenset(["$id", "$ref", "pattern", "format"])
_TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"]
_CONSTRAINTS = _COPIED | _ONLY_CHECKED | _OBJECT_KEYWORDS | _ARRAY_KEYWORDS | {"pattern", "format"}

_ANY_DEPTH = 10
_ANY_ITEMS = 1024
_ANY_MEMBERS = 64
_ANY_NAME = r"^[\s\S]{0,128}$"
"""Limits for an unconstrained value, which a weak model would extend for ever. Strings and numbers have no
limits, because they would be cut off silently."""


@dataclass(frozen=True)
class GrammarSchema:
    schema: dict[str, Any]
    """A schema for llguidance, which refers only to its own `$defs`."""
    is_exact: bool
    """Whether every value that satisfies it is valid. Otherwise answers must be checked."""
    num_parts: int = 1
    """Number of subschemas that were translated, which determines the time that it took."""


def to_grammar_schema(schema: dict[str, Any], *, is_object: bool = False) -> GrammarSchema:
    """Translates `schema`. `is_object`: the value is an object, even if the schema does not say so. Raises
    SchemaError if the schema is invalid or no finite value satisfies it."""
    return _Translator(schema).whole(is_object=is_object)


@dataclass(frozen=True)
class _Part:
    """A schema that describes a value together with others, one of which excludes further properties."""

    shared: frozenset[str] = frozenset()
    """Properties that other parts describe too."""
    is_all_shared: bool = False


_ALONE: _Part | None = None
_SHARED = _Part(is_all_shared=True)


class _Translator:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._references = References(root)
        self._declarations = Declarations(self._references)
        self._names: dict[tuple[str, _Part | None], str] = {("#", _ALONE): "root"}
        """Names of definitions, by reference and by the part that it is used as."""
        self._pending: deque[tuple[str, str, _Part | None]] = deque()
        self._definitions: dict[str, Schema] = {}
        self._num_parts = 0
        self._is_exact = True
        self._patterns: set[str] = set()

    def whole(self, *, is_object: bool) -> GrammarSchema:
        root = {"type": "object", **self._root} if is_object else self._root
        self._definitions["root"] = self._translated(root, _ALONE)
        while self._pending:
            name, reference, part = self._pending.popleft()
            self._definitions[name] = self._translated(self._references.target(reference), part)
        if not self._is_exact:
            self._check_patterns()
        definitions = without_endless(self._definitions)
        if definitions["root"] is False:
            raise SchemaError(
                "no finite value can follow it: what it requires leads back to itself, or is 'false'"
            )
        check_depth(definitions)
        return GrammarSchema({"$ref": "#/$defs/root", "$defs": definitions}, self._is_exact, self._num_parts)

    def _translated(self, schema: Any, part: _Part | None) -> Schema:
        self._num_parts += 1
        if self._num_parts > MAX_PARTS:
            raise SchemaError(f"it has more than {MAX_PARTS} schemas where its references are followed")
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
            return self._translate_single(schema, part) or self._anything(part)
        return self._translate_combined(schema, groups, part)

    def _plain(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Normalizes alternative spellings, and adds the type if it is implied."""
        if isinstance(schema.get("items"), list):
            others = {"items": schema["additionalItems"]} if "additionalItems" in schema else {}
            left = {key: schema[key] for key in schema if key not in ("items", "additionalItems")}
            schema = {**left, "prefixItems": schema["items"], **others}
        if "$ref" in schema:
            target = self._references.target(schema["$ref"])
            if isinstance(target, dict):
                # Repeated constraints would keep llguidance from supporting a recursive reference.
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

    def _check_patterns(self) -> None:
        """Raises SchemaError for a pattern that answers cannot be checked against. Patterns in parts that are
        not translated are refused when an answer is checked."""
        expressions = Expressions()
        for pattern in sorted(self._patterns):
            expressions.compiled(pattern)

    # Several schemas for one value.

    def _translate_combined(
        self, schema: dict[str, Any], groups: dict[str, list[Any]], part: _Part | None
    ) -> Schema:
        """Translates a schema with combinators. `groups` are the schema's parts by keyword."""
        keyword, *more = groups
        if len(groups.get("oneOf", [])) > 1:
            self._is_exact = False
        is_choice = not more and keyword in ("anyOf", "oneOf")
        base = {key: schema[key] for key in schema if key in _CONSTRAINTS}
        if not base and not more and (is_choice or len(groups[keyword]) == 1):
            result = [self._part(one, part) for one in groups[keyword]]
            return {"anyOf": result} if is_choice else result[0]
        if part is not None:
            return self._all_of(base, groups, part)
        if is_choice:
            # Each alternative declares properties together with the rest of the schema, not with other
            # alternatives.
            return {"anyOf": [self._closed(base, {"allOf": [one]}) for one in groups[keyword]]}
        return self._closed(base, groups)

    def _closed(self, base: dict[str, Any], groups: dict[str, list[Any]]) -> Schema:
        """Combines all groups, and allows no property that none of them declares."""
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
        result = [self._part(member, part) for member in members if member]
        declares = reduce(or_, declared)
        if (declares.described or declares.patterns) and not declares.is_settled:
            is_object = any(isinstance(one, dict) and one.get("type") == "object" for one in result)
            result.append(
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
        return {"allOf": result}

    def _all_of(self, base: dict[str, Any], groups: dict[str, list[Any]], part: _Part) -> Schema:
        result = [self._translated(base, part)] if base else []
        for keyword, some in groups.items():
            parts = [self._part(one, part) for one in some]
            result += [{"anyOf": parts}] if keyword in ("anyOf", "oneOf") else parts
        return {"allOf": result}

    def _part(self, schema: Any, part: _Part | None) -> Schema:
        if isinstance(schema, dict) and schema.keys() == {"$ref"} and isinstance(schema["$ref"], str):
            return self._reference(schema["$ref"], part)
        return self._translated(schema, part)

    def _reference(self, reference: str, part: _Part | None) -> Schema:
        key = (reference, part)
        if key not in self._names:
            self._names[key] = str(len(self._names))
            self._pending.append((self._names[key], reference, part))
        return {"$ref": f"#/$defs/{self._names[key]}"}

    # A single schema.

    def _translate_single(self, schema: dict[str, Any], part: _Part | None) -> dict[str, Any]:
        result = {keyword: schema[keyword] for keyword in schema if keyword in _COPIED}
        for keyword in _ONLY_CHECKED & schema.keys():
            self._is_exact = False
            self._check_references(schema[keyword])
        self._translate_text(schema, result)
        if _is(schema, "array"):
            self._translate_array(schema, result, part)
        if _is(schema, "object"):
            self._translate_object(schema, result, part)
        return result

    def _check_references(self, value: Any) -> None:
        """Raises SchemaError for a dangling reference in a part that is not translated."""
        if isinstance(value, dict) and "$ref" in value:
            self._references.target(value["$ref"])
        for within in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._check_references(within)

    def _translate_text(self, schema: dict[str, Any], result: dict[str, Any]) -> None:
        if (format_ := schema.get("format")) in _FORMATS:
            result["format"] = format_
        if "pattern" not in schema:
            return
        pattern = schema["pattern"]
        self._patterns.add(pattern)
        patterns, is_exact = regular_patterns(pattern)
        if (num_looks := len(patterns) - 1) > MAX_LOOK_AHEADS:
            raise SchemaError(
                f"the pattern {shown(pattern)} begins with {num_looks} look-aheads; {MAX_LOOK_AHEADS} are "
                "allowed"
            )
        self._is_exact = self._is_exact and is_exact
        if patterns:
            result["pattern"] = patterns[0]
        for other in patterns[1:]:
            result.setdefault("allOf", []).append({"pattern": other})

    def _translate_array(self, schema: dict[str, Any], result: dict[str, Any], part: _Part | None) -> None:
        within = _ALONE if part is None else _SHARED
        first = schemas(schema, "prefixItems")
        least = schema.get("minItems", 0)
        if first:
            result["prefixItems"] = [self._part(one, within) for one in first]
        if "items" in schema:
            result["items"] = self._part(schema["items"], within)
        elif part is None and first and least <= len(first):
            result["items"] = False
        elif part is None:
            result["items"] = self._anything(part)
            result.setdefault("maxItems", max(_ANY_ITEMS, least))
        if schema.get("uniqueItems") is True:
            self._is_exact = False
            most = self._num_values(schema.get("items"))
            if not first and most is not None:
                result["maxItems"] = min(most, result.get("maxItems", most))

    def _num_values(self, schema: Any) -> int | None:
        """Returns the number of values of an enumeration; None for any other schema."""
        schema = self._references.resolved(schema)
        values = schema.get("enum") if isinstance(schema, dict) else None
        return len(values) if isinstance(values, list) else None

    def _translate_object(self, schema: dict[str, Any], result: dict[str, Any], part: _Part | None) -> None:
        within = _ALONE if part is None else _SHARED
        properties = {
            name: self._part(one, _SHARED if part and (part.is_all_shared or name in part.shared) else _ALONE)
            for name, one in objects(schema, "properties").items()
        }
        patterns = {
            pattern: self._part(one, within) for pattern, one in objects(schema, "patternProperties").items()
        }
        self._patterns |= patterns.keys()
        others = self._others(schema, part, within)
        required = [name for name in schemas(schema, "required") if isinstance(name, str)]
        if part is None:
            rest = self._part(schema.get("additionalProperties", True), within)
            properties |= {name: rest for name in required if name not in properties}
        if "propertyNames" in schema:
            others = self._translate_names(schema["propertyNames"], properties, patterns, others)
        has_optional = not properties.keys() <= set(required)
        self._translate_count(schema, result, can=part is None and not has_optional)
        if others == _ANYTHING and not patterns and not has_optional:
            result.setdefault(
                "maxProperties", max(_ANY_MEMBERS, result.get("minProperties", 0), len(required))
            )
            patterns, others = {_ANY_NAME: others}, False
        if properties:
            result["properties"] = properties
        if patterns:
            result["patternProperties"] = patterns
        if required:
            result["required"] = required
        if others is not True:
            result["additionalProperties"] = others

    def _others(self, schema: dict[str, Any], part: _Part | None, within: _Part | None) -> Schema:
        """Returns the schema of properties that are not named."""
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
        """Applies `propertyNames`. Returns the schema of unnamed properties."""
        rules = self._references.resolved(rules)
        self._translated(rules, _SHARED)  # Raises if it is invalid.
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
            and regular_patterns(pattern) == ([pattern], True)
        ):
            patterns[pattern] = others
            return False
        self._is_exact = False
        return others

    def _translate_count(self, schema: dict[str, Any], result: dict[str, Any], *, can: bool) -> None:
        """Applies limits on the number of properties, which llguidance supports only if there are no optional
        properties."""
        for keyword in ("minProperties", "maxProperties"):
            if keyword in schema and can:
                result[keyword] = schema[keyword]
            elif keyword in schema:
                self._is_exact = False

    # Unconstrained values.

    def _anything(self, part: _Part | None) -> Schema:
        if part is not None:
            return True
        if "any0" not in self._definitions:
            self._definitions |= {f"any{depth}": _any(depth) for depth in range(_ANY_DEPTH + 1)}
        return _ANYTHING


_ANYTHING: Schema = {"$ref": f"#/$defs/any{_ANY_DEPTH}"}


def _any(depth: int) -> Schema:
    """Describes any JSON with arrays and objects nested at most `depth` deep."""
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
    """Whether the schema constrains values of this type, array or object."""
    types = schema.get("type")
    keywords = _OBJECT_KEYWORDS if type_ == "object" else _ARRAY_KEYWORDS
    return types == type_ or (isinstance(types, list) and type_ in types) or bool(keywords & schema.keys())


def _check_shape(schema: dict[str, Any]) -> None:
    """Raises SchemaError for invalid keywords that are read here. llguidance checks the rest."""
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
