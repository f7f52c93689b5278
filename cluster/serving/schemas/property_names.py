"""Keywords of JSON Schema that match patterns against the names of properties.

They behave like jsonschema's own, and have the same messages. jsonschema searches with `re`, which has no
time limit and blocks all other threads meanwhile."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from jsonschema import ValidationError
from referencing.jsonschema import lookup_recursive_ref

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
"""Called with the validator, the keyword's value, the value to validate, and the schema."""
Search = Callable[[str, str], bool]
"""Whether a pattern is found in a text."""


def keywords_of_names(search: Search) -> dict[str, Keyword]:
    return {
        "patternProperties": partial(_by_pattern, search),
        "additionalProperties": partial(_additional, search),
        "unevaluatedProperties": partial(_unevaluated, search),
    }


def _by_pattern(
    search: Search, validator: Any, patterns: Any, value: Any, _: Any
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    for pattern, schema in patterns.items():
        for name, part in value.items():
            if search(pattern, name):
                yield from validator.descend(part, schema, path=name, schema_path=pattern)


def _additional(
    search: Search, validator: Any, rule: Any, value: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    names = [name for name in value if name not in declared and not _matches(search, patterns, name)]
    if isinstance(rule, dict):
        for name in names:
            yield from validator.descend(value[name], rule, path=name)
    elif names and not rule and "patternProperties" in schema:
        verb = "does" if len(names) == 1 else "do"
        listed = ", ".join(map(repr, sorted(patterns)))
        yield ValidationError(f"{_listed(sorted(names))} {verb} not match any of the regexes: {listed}")
    elif names and not rule:
        yield ValidationError(
            f"Additional properties are not allowed ({_listed(sorted(names))} {_were(names)} unexpected)"
        )


def _unevaluated(
    search: Search, validator: Any, rule: Any, value: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    evaluated = set(_evaluated(search, validator, value, schema))
    names = [
        name
        for name in value
        if name not in evaluated and not _is_valid(validator.descend(value[name], rule))
    ]
    if names and rule is False:
        yield ValidationError(
            f"Unevaluated properties are not allowed ({_listed(sorted(names))} {_were(names)} unexpected)"
        )
    elif names:
        yield ValidationError(
            "Unevaluated properties are not valid under the given schema "
            f"({_listed(names)} {_were(names)} unevaluated and invalid)"
        )


def _evaluated(search: Search, validator: Any, value: dict[str, Any], schema: Any) -> Iterator[str]:
    """Yields the names of properties that the schema and its parts for the same object apply to."""
    if isinstance(schema, bool):
        return
    declared = schema.get("properties")
    if isinstance(declared, dict):
        yield from declared.keys() & value.keys()
    patterns = schema.get("patternProperties", {})
    yield from (name for name in value if _matches(search, patterns, name))
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        if (rule := schema.get(keyword)) is not None:
            yield from (name for name, part in value.items() if _is_valid(validator.descend(part, rule)))
    for resolved in _referenced(validator, schema):
        behind = validator.evolve(schema=resolved.contents, _resolver=resolved.resolver)
        yield from _evaluated(search, behind, value, resolved.contents)
    for part in _parts(validator, value, schema):
        yield from _evaluated(search, validator, value, part)


def _referenced(validator: Any, schema: dict[str, Any]) -> Iterator[Any]:
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in schema and keyword in validator.VALIDATORS:
            yield validator._resolver.lookup(schema[keyword])
    if "$recursiveRef" in schema and "$recursiveRef" in validator.VALIDATORS:
        yield lookup_recursive_ref(validator._resolver)


def _parts(validator: Any, value: dict[str, Any], schema: dict[str, Any]) -> Iterator[Any]:
    """Yields the parts of the schema that apply to this object."""
    for name, part in schema.get("dependentSchemas", {}).items():
        if name in value:
            yield part
    for keyword in ("allOf", "oneOf", "anyOf"):
        for part in schema.get(keyword, []):
            if _is_valid(validator.descend(value, part)):
                yield part
    if "if" in schema:
        holds = validator.evolve(schema=schema["if"]).is_valid(value)
        if holds:
            yield schema["if"]
        if (then := "then" if holds else "else") in schema:
            yield schema[then]


def _matches(search: Search, patterns: Any, name: str) -> bool:
    return any(search(pattern, name) for pattern in patterns)


def _is_valid(errors: Iterator[ValidationError]) -> bool:
    return next(errors, None) is None


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))


def _were(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"
