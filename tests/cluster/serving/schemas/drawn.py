"""Random JSON Schemas that a text of a few hundred characters can satisfy."""

from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]

_INTEGERS = st.integers(-(2**53), 2**53)
"""JSON parsers disagree on larger numbers; the grammar takes the nearest double."""
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def schemas() -> st.SearchStrategy[Schema]:
    return st.recursive(_plain(), _composed, max_leaves=6)


def _plain() -> st.SearchStrategy[Schema]:
    fixed: list[Schema] = [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "string", "pattern": "^[a-c]{2,4}$"},
        {"type": "string", "format": "date"},
        {"type": "integer", "multipleOf": 7, "minimum": -99, "maximum": 99},
    ]
    values = st.lists(_TEXT | _INTEGERS | st.none(), min_size=1, max_size=4)
    return st.one_of(
        st.sampled_from(fixed),
        st.builds(_integers, st.integers(-50, 50), st.integers(0, 2000)),
        st.integers(-9, 9).map(lambda low: {"type": "number", "exclusiveMinimum": low, "maximum": low + 1}),
        st.integers(0, 6).map(lambda most: {"type": "string", "maxLength": most}),
        values.map(lambda some: {"enum": some}),
    )


def _composed(parts: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.one_of(
        st.builds(_object, st.dictionaries(_TEXT, parts, max_size=3), st.integers(0, 3)),
        parts.map(lambda part: {"type": "array", "items": part, "minItems": 1, "maxItems": 2}),
        st.lists(parts, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
    )


def _integers(low: int, size: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": low + size}


def _object(properties: dict[str, Schema], num_required: int) -> Schema:
    required = list(properties)[:num_required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
