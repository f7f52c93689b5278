"""Describes invalid values found by pydantic as OpenAI's API does: what was sent and what is allowed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.contracts.errors import InvalidRequest

_SHOWN_CHARACTERS = 64

_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "a boolean",
    "bool_parsing": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
"""The type that is expected, by pydantic's error."""

_CHOICES = {"literal_error": "expected", "enum": "expected", "union_tag_invalid": "expected_tags"}
"""The entry in which pydantic lists the allowed values, such as `'asc' or 'desc'`."""

_BOUNDS = {
    "greater_than": ("gt", ">", "below minimum"),
    "greater_than_equal": ("ge", ">=", "below minimum"),
    "less_than": ("lt", "<", "above maximum"),
    "less_than_equal": ("le", "<=", "above maximum"),
}
_LENGTHS = ("string_too_short", "string_too_long", "too_short", "too_long")

_CODES = {
    "integer below minimum": "integer_below_min_value",
    "integer above maximum": "integer_above_max_value",
    "decimal below minimum": "decimal_below_min_value",
    "decimal above maximum": "decimal_above_max_value",
    "string too short": "string_below_min_length",
    "string too long": "string_above_max_length",
    "array too short": "array_below_min_length",
    "array too long": "array_above_max_length",
    "object too short": "object_below_min_properties",
    "object too long": "object_above_max_properties",
    "empty string": "empty_string",
    "empty array": "empty_array",
    "empty object": "empty_object",
}


def invalid_value(param: str, findings: Sequence[Any]) -> InvalidRequest:
    """Returns the error for one parameter. `findings` are pydantic's, one or more for each type that the
    parameter may have. An exceeded limit is the most helpful finding, because the value then has an allowed
    type."""
    for finding in findings:
        if finding["type"] in _BOUNDS:
            return _beyond_bound(param, finding)
        if finding["type"] in _LENGTHS:
            return _of_wrong_length(param, finding)
    for finding in findings:
        if finding["type"] not in (*_TYPES, *_CHOICES, "none_required"):
            return _of_wrong_form(param, finding)
    return _of_wrong_type(param, findings)


def _beyond_bound(param: str, finding: Any) -> InvalidRequest:
    name, sign, problem = _BOUNDS[finding["type"]]
    bound, value = finding["ctx"][name], finding["input"]
    kind = f"{'integer' if isinstance(bound, int) else 'decimal'} {problem}"
    return InvalidRequest(
        f"Invalid '{param}': {kind} value. Expected a value {sign} {_number(bound)}, but got "
        f"{_number(value)} instead.",
        code=_CODES[kind],
        param=param,
    )


def _of_wrong_length(param: str, finding: Any) -> InvalidRequest:
    value, context = finding["input"], finding["ctx"]
    at_least = "min_length" in context
    limit = context["min_length"] if at_least else context["max_length"]
    noun = "string" if isinstance(value, str) else "object" if isinstance(value, Mapping) else "array"
    problem = f"{noun} too {'short' if at_least else 'long'}" if value else f"empty {noun}"
    code = _CODES[problem]
    expected = f"{_a(noun)} with {'minimum' if at_least else 'maximum'} length {limit}"
    got = f"{_a(noun)} with length {len(value)}" if value else f"an empty {noun}"
    if noun == "object":
        problem = problem.replace("object too short", "too few properties")
        problem = problem.replace("object too long", "too many properties")
        expected = f"an object with at {'least' if at_least else 'most'} {limit} properties"
        got = got.replace(f"length {len(value)}", f"{len(value)} properties")
    if finding["loc"][-1] == "[key]":
        problem = problem.replace("string", "property name")
        expected, got = (text.replace("string", "name") for text in (expected, got))
    return InvalidRequest(
        f"Invalid '{param}': {problem}. Expected {expected}, but got {got} instead.", code=code, param=param
    )


def _of_wrong_type(param: str, findings: Sequence[Any]) -> InvalidRequest:
    value = findings[0]["input"]
    if findings[0]["type"] == "union_tag_invalid":
        value = value.get(findings[0]["ctx"]["discriminator"].strip("'"))
    choices = [
        choice
        for finding in findings
        if (where := _CHOICES.get(finding["type"]))
        for choice in re.findall(r"'[^']*'|[^\s,']+", finding["ctx"][where].replace(" or ", ", "))
    ]
    types = [_TYPES[finding["type"]] for finding in findings if finding["type"] in _TYPES]
    if isinstance(value, str) and not types:
        supported = _listed(choices, "and")
        return InvalidRequest(
            f"Invalid value for '{param}': {_shown(value)}. Supported values are: {supported}.", param=param
        )
    expected = _listed([*choices, *dict.fromkeys(types)], "or")
    got = _shown(value) if isinstance(value, str) and choices else _type_of(value)
    return InvalidRequest(
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
        code="invalid_type",
        param=param,
    )


def _of_wrong_form(param: str, finding: Any) -> InvalidRequest:
    # pydantic prefixes a validator's message with "Value error, ".
    reason = finding["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    if finding["type"] == "string_pattern_mismatch":
        message = (
            f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern "
            f"'{finding['ctx']['pattern']}', but got {_shown(finding['input'])} instead."
        )
    elif reason.startswith("Expected UploadFile"):
        message = f"Invalid type for '{param}': expected a file, but got a text field of the form instead."
    else:
        message = f"Invalid value for '{param}': {reason}."
    return InvalidRequest(message, param=param)


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "an array"


def _shown(text: str) -> str:
    return f"'{text[:_SHOWN_CHARACTERS]}{'…' if len(text) > _SHOWN_CHARACTERS else ''}'"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _listed(items: Sequence[str], word: str) -> str:
    """Formats a list as `a, b, and c`."""
    if len(items) < 3:
        return f" {word} ".join(items)
    return f"{', '.join(items[:-1])}, {word} {items[-1]}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
