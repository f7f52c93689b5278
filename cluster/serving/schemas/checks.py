"""Checks a complete answer against a schema that a grammar could not enforce completely. Pure."""

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import attrs
import regex
from jsonschema import Draft201909Validator, Draft202012Validator, ValidationError
from jsonschema.exceptions import UnknownType
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from cluster.serving.schemas.deadline import Deadline, TooLong
from cluster.serving.schemas.property_names import Keyword, keywords_of_names
from cluster.serving.schemas.references import SchemaError, shown

_LIMIT_SECONDS = 0.25
"""Time limit of one check, after which nothing is reported."""
_MESSAGE_CHARACTERS = 200


def problem(schema: dict[str, Any], text: str, *, limit_seconds: float = _LIMIT_SECONDS) -> str | None:
    """Describes how a JSON text violates `schema`, as the end of a sentence. None if it does not violate the
    schema, if it is not JSON, for example because a stop string cut it off, or if the check takes too long.
    Raises SchemaError if the schema is invalid in a part from which no grammar was made."""
    try:
        value = json.loads(text)
        found = next(_validator(schema, Deadline(limit_seconds)).iter_errors(value), None)
    except SchemaError:
        raise
    except (ValueError, RecursionError, Unresolvable, TooLong):
        return None
    if found is None:
        return None
    message = found.message if len(found.message) <= _MESSAGE_CHARACTERS else f"it breaks '{found.validator}'"
    return f"at {found.json_path}, {message}"


def _validator(schema: dict[str, Any], deadline: Deadline) -> Any:
    kind = Draft201909Validator if _has_list_of_items(schema) else Draft202012Validator
    ours = {
        "pattern": partial(_pattern, deadline),
        "uniqueItems": partial(_unique, deadline),
        "multipleOf": _multiple,
        **keywords_of_names(deadline.search),
    }
    keywords = {
        name: _guarded(name, keyword, deadline) for name, keyword in {**kind.VALIDATORS, **ours}.items()
    }
    bounded: Any = extend(kind, keywords)

    def evolve(validator: Any, **changes: Any) -> Any:
        deadline.check()
        return attrs.evolve(validator, **changes)

    # jsonschema's own `evolve` would switch to another class, without these keywords, at a `$schema` in a
    # part or in a referenced metaschema.
    bounded.evolve = evolve
    # An empty registry, because the default one fetches remote references.
    return bounded(schema, registry=Registry())


def _guarded(name: str, keyword: Keyword, deadline: Deadline) -> Keyword:
    """Returns the keyword's check, ended by the deadline. It raises SchemaError if its value is invalid:
    jsonschema expects a validated schema, and validating a large one takes seconds."""

    def run(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        deadline.check()
        try:
            yield from keyword(validator, value, instance, schema) or ()
        except (TypeError, AttributeError, ArithmeticError, UnknownType) as error:
            raise SchemaError(
                f"'{name}', which is {shown(value)}, or a keyword beside it is invalid"
            ) from error

    return run


def _pattern(deadline: Deadline, _: Any, pattern: str, text: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(text, str) and not deadline.search(pattern, text, regex.ASCII):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


def _unique(deadline: Deadline, _: Any, is_unique: Any, items: Any, __: Any) -> Iterator[ValidationError]:
    if is_unique is not True or not isinstance(items, list):
        return
    seen: dict[str, int] = {}
    for place, item in enumerate(items):
        deadline.check()
        first = seen.setdefault(json.dumps(item, sort_keys=True), place)
        if first != place:
            yield ValidationError(f"items {first} and {place} are the same, and 'uniqueItems' forbids it")
            return


def _multiple(_: Any, unit: Any, number: Any, __: Any) -> Iterator[ValidationError]:
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not is_number or not math.isfinite(number):
        return
    if not isinstance(unit, int | float):
        raise TypeError(unit)
    # Compared as they are written, so that 0.3 is a multiple of 0.1.
    if Fraction(str(number)) % Fraction(str(unit)):
        yield ValidationError(f"{number} is no multiple of {unit}")


def _has_list_of_items(value: Any) -> bool:
    """Whether the schema uses the older form, in which a list in `items` means what `prefixItems` means
    today."""
    if isinstance(value, dict):
        return isinstance(value.get("items"), list) or any(map(_has_list_of_items, value.values()))
    return isinstance(value, list) and any(map(_has_list_of_items, value))
