"""Templates of graders: `{{item.name}}`, `{{sample.output_text}}`, `{{sample.output_json.rows[0]}}`. Only
look-ups: nothing in a template is executed."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

MAX_TEXT = 20_000
"""Characters of a text to grade: the slowest metric then takes some milliseconds."""
NAMESPACES = ("item", "sample")
_TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_PATH = re.compile(r"(?P<namespace>\w+)(?P<steps>(?:\.[\w-]+|\[\d{1,9}\]|\[\"[^\"\]]*\"\]|\['[^'\]]*'\])+)")
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\[[\"']([^\"'\]]*)[\"']\]")


class MissingVariable(LookupError):
    """A template names what the item or the sample does not have."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class TextTooLong(ValueError):
    """A text has more than MAX_TEXT characters once its templates are filled in."""


def check_template(text: str) -> str:
    """Returns the text. Raises ValueError if a template in it is not a path into `item` or `sample`."""
    for template in _TEMPLATE.finditer(text):
        path = _PATH.fullmatch(template[1])
        if path is None or path["namespace"] not in NAMESPACES:
            raise ValueError(
                f"has the template '{template[0][:100]}'; it must be a path such as {{{{item.answer}}}} or "
                "{{sample.output_text}}"
            )
    return text


def render(text: str, variables: Mapping[str, Any]) -> str:
    """Fills in `variables["item"]` and `variables["sample"]`. Texts stay as they are; other values become
    JSON. Raises MissingVariable and TextTooLong."""
    length = 0

    def filled(template: re.Match[str]) -> str:
        nonlocal length
        value = _text(_look_up(template[1], variables))
        # Checked on the way: a short text can name a long value many times.
        if (length := length + len(value)) > MAX_TEXT:
            raise TextTooLong
        return value

    rendered = _TEMPLATE.sub(filled, text)
    if len(rendered) > MAX_TEXT:
        raise TextTooLong
    return rendered


def _look_up(path: str, variables: Mapping[str, Any]) -> Any:
    found = _PATH.fullmatch(path)
    assert found is not None, "templates are checked before"
    value = variables[found["namespace"]]
    for name, index, key in _STEP.findall(found["steps"]):
        try:
            value = value[int(index)] if index and isinstance(value, list) else value[name or key or index]
        except (KeyError, IndexError, TypeError) as error:
            raise MissingVariable(path) from error
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:  # nested too deep
        raise TextTooLong from error
