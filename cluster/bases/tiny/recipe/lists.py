"""Small edits of a list: pick an item, change the order, format or case, leave out an item."""

import random

from cluster.bases.tiny.recipe.chat import Chat, exchange
from cluster.bases.tiny.recipe.values import any_value, name_word, number, thing, word

ORDINALS = ["first", "second", "third", "fourth", "fifth"]


def edit(rng: random.Random) -> Chat:
    """Answer one to four questions about a list."""
    kind = rng.choice([word, name_word, thing, number, any_value])
    items = list(dict.fromkeys(kind(rng) for _ in range(rng.randint(2, 6))))
    separator = rng.choice([", ", " | ", "; ", "\n"])
    turns = [_question(items, separator, rng) for _ in range(rng.randint(1, 4))]
    turns[0] = (separator.join(items) + "\n" + turns[0][0], turns[0][1])
    return exchange(*turns)


def _question(items: list[str], separator: str, rng: random.Random) -> tuple[str, str]:
    place = rng.randrange(min(len(items), len(ORDINALS)))
    left_out = rng.choice(items)
    return rng.choice(
        [
            (f"The {ORDINALS[place]} one?", items[place]),
            ("The last one?", items[-1]),
            ("Reverse.", separator.join(reversed(items))),
            ("Number them.", "\n".join(f"{index}. {item}" for index, item in enumerate(items, 1))),
            ("As bullets.", "\n".join(f"- {item}" for item in items)),
            ("How many?", str(len(items))),
            (f"Without {left_out}.", separator.join(item for item in items if item != left_out)),
            ("In capitals.", separator.join(items).upper()),
            ("In small letters.", separator.join(items).lower()),
            ("As a sentence.", f"We have {' and '.join(items)}."),
            ("Quote each.", ", ".join(f'"{item}"' for item in items)),
        ]
    )
