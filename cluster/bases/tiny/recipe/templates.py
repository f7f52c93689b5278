"""Random sentence templates: fixed words around a record's values."""

import random

from cluster.bases.tiny.recipe.values import pseudo_word
from cluster.bases.tiny.recipe.words import ADJECTIVES, CLOSERS, LINKS, NOUNS, OPENERS, VERBS

Template = list[str]
"""Alternating fixed text and keys: text, key, text, …, key, text."""


def random_template(keys: list[str], rng: random.Random) -> Template:
    """Makes a template with some or all of the keys, in random order."""
    chosen = rng.sample(keys, rng.randint(max(1, len(keys) - 2), len(keys)))
    parts = [rng.choice(OPENERS) + (_filler(rng) + " " if rng.random() < 0.25 else "")]
    for position, key in enumerate(chosen):
        if position:
            parts.append(_link(rng))
        parts.append(key)
    return [*parts, rng.choice(CLOSERS)]


def fill(template: Template, fields: dict[str, str]) -> str:
    """Fills the record's values into the template."""
    return "".join(fields[part] if index % 2 else part for index, part in enumerate(template))


def show(template: Template, marks: tuple[str, str]) -> str:
    """Formats the template for an instruction, with keys between `marks`."""
    left, right = marks
    return "".join(f"{left}{part}{right}" if index % 2 else part for index, part in enumerate(template))


def _link(rng: random.Random) -> str:
    link = rng.choice(LINKS)
    if rng.random() < 0.3:
        link = link + _filler(rng) + rng.choice([" ", " ", " of ", " at ", ": ", " (", " $", " x "])
    elif rng.random() < 0.12:
        link = link.rstrip() + rng.choice([' "', " $", " (", " #", " x ", " '"])
    return link


def _filler(rng: random.Random) -> str:
    style = rng.random()
    if style < 0.35:
        return f"the {rng.choice(NOUNS)}"
    if style < 0.6:
        return rng.choice(NOUNS)
    if style < 0.75:
        return f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    if style < 0.9:
        return rng.choice(VERBS)
    return pseudo_word(rng)
