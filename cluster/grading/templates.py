"""Templates of graders: `{{item.name}}`, `{{sample.output_text}}`, `{{sample.output_json.rows[0]}}`. They
only look up values: nothing in a template is executed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

MAX_TEXT = 20_000
"""Maximum number of characters in a text to grade. The slowest metric takes some milliseconds for it."""
NAMESPACES = ("item", "sample")
_PATH = re.compile(r"(?P<namespace>\w+)(?P<steps>(?:\.[\w-]+|\[\d{1,9}\]|\[\"[^\"\]]*\"\]|\['[^'\]]*'\])+)")
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\[[\"']([^\"'\]]*)[\"']\]")


class MissingVariable(LookupError):
    """A template names something that the item or the sample does not have."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class TextTooLong(ValueError):
    """A text has more than MAX_TEXT characters once its templates are filled in."""


def check_template(text: str) -> str:
    """Returns the text. Raises ValueError if a template in it is not a path into `item` or `sample`."""
    for start, end, path in _templates(text):
        found = _PATH.fullmatch(path)
        if found is None or found["namespace"] not in NAMESPACES:
            raise ValueError(
                f"it has the template '{text[start : min(end, start + 100)]}'; it must be a path such as "
                "{{item.answer}} or {{sample.output_text}}"
            )
    return text


def render(text: str, variables: Mapping[str, Any]) -> str:
    """Fills in `variables["item"]` and `variables["sample"]`. Texts stay as they are; other values become
    JSON. Raises MissingVariable and TextTooLong."""
    parts: list[str] = []
    length = literal = 0
    for start, end, path in _templates(text):
        value = _text(_look_up(path, variables))
        # Checked during rendering, because a short text can name a long value many times.
        if (length := length + len(value)) > MAX_TEXT:
            raise TextTooLong
        parts += (text[literal:start], value)
        literal = end
    rendered = "".join([*parts, text[literal:]])
    if len(rendered) > MAX_TEXT:
        raise TextTooLong
    return rendered


def _templates(text: str) -> Iterator[tuple[int, int, str]]:
    """Yields where each template starts and ends, and its path. Searches for the delimiters, because a
    regular expression with spaces around any text backtracks for seconds on a long run of spaces."""
    end = 0
    while (start := text.find("{{", end)) >= 0 and (close := text.find("}}", start + 2)) >= 0:
        end = close + 2
        yield start, end, text[start + 2 : close].strip()


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
