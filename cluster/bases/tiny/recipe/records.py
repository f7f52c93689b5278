"""Records: a few named values, in one of a dozen notations. All records of a schema have the same keys."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from cluster.bases.tiny.recipe.values import (
    KINDS_OF_VALUE,
    WEIGHTS,
    clock,
    code,
    date,
    email,
    name_word,
    number,
    person,
    phone,
    place,
    price,
    pseudo_word,
    thing,
    value_of,
    word,
)
from cluster.bases.tiny.recipe.words import KEYS

Kind = Callable[[random.Random], str]
Fields = dict[str, str]

KINDS_BY_KEY: dict[str, list[Kind]] = {
    "name": [person, name_word, thing],
    "id": [code, number],
    "code": [code],
    "price": [price],
    "city": [place],
    "date": [date],
    "colour": [word],
    "size": [number, word],
    "email": [email],
    "phone": [phone],
    "title": [thing, name_word],
    "author": [person],
    "year": [number],
    "total": [price, number],
    "amount": [price, number],
    "unit": [word],
    "time": [clock],
    "day": [date],
    "owner": [person],
    "manager": [person],
    "teacher": [person],
    "player": [person],
    "guest": [person],
    "captain": [person],
    "director": [person],
    "number": [number],
    "country": [place],
    "street": [place],
    "village": [place],
    "club": [name_word, thing],
    "model": [code, thing],
}


@dataclass(frozen=True)
class Schema:
    """Keys and the kind of value that each takes."""

    kinds: dict[str, Kind]

    def draw(self, rng: random.Random) -> Fields:
        """Draws a record of this schema."""
        return {key: value_of(kind, rng) for key, kind in self.kinds.items()}


def random_schema(rng: random.Random, most: int = 6) -> Schema:
    """Draws a schema of at most `most` keys.

    A fifth of the keys are invented. About half of the kinds do not depend on the key.
    """
    kinds: dict[str, Kind] = {}
    for _ in range(rng.randint(min(2, most), most)):
        key = rng.choice(KEYS) if rng.random() < 0.8 else pseudo_word(rng)
        fitting = KINDS_BY_KEY.get(key)
        kinds[key] = (
            rng.choice(fitting) if fitting and rng.random() < 0.6 else rng.choices(KINDS_OF_VALUE, WEIGHTS)[0]
        )
    return Schema(kinds)


def as_json(fields: Fields) -> str:
    """The record as one JSON object of strings."""
    return json.dumps(fields, ensure_ascii=False)


def as_csv(fields: Fields) -> str:
    """A header line and a line of values."""
    return ",".join(fields) + "\n" + ",".join(fields.values())


def joined(between: str, after: str, before: str = "") -> Callable[[Fields], str]:
    """Makes the notation `before key between value after …`, without `after` at the end."""
    return lambda fields: after.join(f"{before}{key}{between}{value}" for key, value in fields.items())


NOTATIONS: dict[str, Callable[[Fields], str]] = {
    "pipes": joined(": ", " | "),
    "JSON": as_json,
    "pairs": joined("=", "; "),
    "lines": joined(": ", "\n"),
    "bullets": joined(": ", "\n", "- "),
    "CSV": as_csv,
    "commas": joined(" ", ", "),
    "prose": lambda fields: " ".join(f"The {key} is {value}." for key, value in fields.items()),
    "tags": lambda fields: " ".join(f"<{key}>{value}</{key}>" for key, value in fields.items()),
    "brackets": joined("] ", " ", "["),
    "arrows": joined(" -> ", ", "),
    "semicolons": joined(": ", "; "),
    "table": lambda fields: "| " + " | ".join(fields) + " |\n| " + " | ".join(fields.values()) + " |",
}
NOTATION_WEIGHTS = [24, 10, 10, 10, 6, 6, 6, 8, 4, 5, 4, 8, 3]


def random_notation(rng: random.Random) -> str:
    """Draws the name of a notation. Pipes are the most frequent."""
    return rng.choices(list(NOTATIONS), NOTATION_WEIGHTS)[0]
