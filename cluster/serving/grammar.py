"""From what a request allows to a grammar in llguidance's own language. Pure."""

import json
from dataclasses import dataclass
from typing import Any

_HEAD = '%llguidance {"no_forcing": true}\n'
"""Without forcing, a text that has only one way to go on may still be cut into tokens as the model likes: to
look for the tokenizer's own way at every token takes 50 ms where 60,000 characters are forced."""

_WHITE_SPACE = r"\x20|\x0A[\x20\x09]{0,40}"
"""Between the parts of a JSON value, at most once: a weak model that may go on with it for ever does."""


@dataclass(frozen=True, slots=True)
class Grammar:
    text: str
    param: str
    """Which of the request's parameters asked for it."""


def json_grammar(schema: dict[str, Any]) -> Grammar:
    """The whole text is one JSON value by `schema`, whose numbers are doubles: exact up to 2^53."""
    return Grammar(f"{_HEAD}start: {_json(schema)}\n", "response_format")


def _json(schema: dict[str, Any]) -> str:
    # A schema's own options would let it say what white space is, and which of its keywords to ignore.
    options = {"whitespace_pattern": _WHITE_SPACE, "lenient": False, "coerce_one_of": False}
    return "%json " + json.dumps({**schema, "x-guidance": options})
