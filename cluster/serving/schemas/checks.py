"""Checks a complete answer against a schema that a grammar could not enforce completely. Pure."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import regex
from jsonschema import Draft201909Validator, Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

_MOST_SECONDS = 0.25
"""Time limit of one check, after which nothing is reported."""
_MESSAGE_CHARACTERS = 200

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def problem(schema: dict[str, Any], text: str) -> str | None:
    """Describes how a JSON text violates `schema`, as the end of a sentence. None if it does not, if the text
    is not JSON, for example because a stop string cut it off, or if the check takes too long."""
    try:
        value = json.loads(text)
        found = next(_validator(schema).iter_errors(value), None)
    except (ValueError, RecursionError, Unresolvable, _TooLong):
        return None
    if found is None:
        return None
    message = found.message if len(found.message) <= _MESSAGE_CHARACTERS else f"it breaks '{found.validator}'"
    return f"at {found.json_path}, {message}"


class _TooLong(Exception):
    """The check has reached its time limit."""


def _validator(schema: dict[str, Any]) -> Any:
    kind = Draft201909Validator if _has_list_of_items(schema) else Draft202012Validator
    end = time.monotonic() + _MOST_SECONDS
    ours = {"pattern": partial(_pattern, end), "uniqueItems": _unique, "multipleOf": _multiple}
    keywords = {name: _timed(keyword, end) for name, keyword in {**kind.VALIDATORS, **ours}.items()}
    # With an empty registry, because the default one fetches remote references.
    return extend(kind, keywords)(schema, registry=Registry())


def _timed(keyword: Keyword, end: float) -> Keyword:
    def run(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if time.monotonic() > end:
            raise _TooLong
        yield from keyword(validator, value, instance, schema) or ()

    return run


def _pattern(end: float, _: Any, pattern: str, text: Any, __: Any) -> Iterator[ValidationError]:
    if not isinstance(text, str):
        return
    try:
        found = regex.search(pattern, text, regex.ASCII, timeout=max(0.001, end - time.monotonic()))
    except TimeoutError as error:
        raise _TooLong from error
    if not found:
        yield ValidationError(f"{text!r} does not match {pattern!r}")


def _unique(_: Any, is_unique: Any, items: Any, __: Any) -> Iterator[ValidationError]:
    if is_unique is not True or not isinstance(items, list):
        return
    seen: dict[str, int] = {}
    for place, item in enumerate(items):
        first = seen.setdefault(json.dumps(item, sort_keys=True), place)
        if first != place:
            yield ValidationError(f"items {first} and {place} are the same, and 'uniqueItems' forbids it")
            return


def _multiple(_: Any, unit: Any, number: Any, __: Any) -> Iterator[ValidationError]:
    # In decimal, so that 0.3 is a multiple of 0.1.
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if is_number and Decimal(str(number)) % Decimal(str(unit)):
        yield ValidationError(f"{number} is no multiple of {unit}")


def _has_list_of_items(value: Any) -> bool:
    """Whether the schema uses the older form, in which a list in `items` means today's `prefixItems`."""
    if isinstance(value, dict):
        return isinstance(value.get("items"), list) or any(map(_has_list_of_items, value.values()))
    return isinstance(value, list) and any(map(_has_list_of_items, value))
