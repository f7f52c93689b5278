"""Task families for the start of pre-training: repeat a string, look up a key, recall pairs."""

import random

from cluster.bases.tiny.recipe.chat import Chat, exchange
from cluster.bases.tiny.recipe.values import any_value, digits, pseudo_word
from cluster.bases.tiny.recipe.words import FIRST, NOUNS


def repeat(rng: random.Random) -> Chat:
    """Repeat a string of random pieces. Small alphabets force the model to keep track of positions."""
    text = _random_string(rng)
    return exchange((rng.choice(["Copy: ", "Repeat: ", "copy ", "Say "]) + text, text))


def repeat_value(rng: random.Random) -> Chat:
    """Repeat one to four values, each once or twice."""
    turns = []
    prefix, twice = rng.choice(["Copy: ", "Repeat: ", "Echo "]), rng.random() < 0.2
    for _ in range(rng.randint(1, 4)):
        value = any_value(rng)
        turns.append((("Twice: " if twice else prefix) + value, f"{value} {value}" if twice else value))
    return exchange(*turns)


def look_up(rng: random.Random) -> Chat:
    """Answer several questions about a list of key-value pairs in plain text."""
    pairs = {_key(rng): any_value(rng) for _ in range(rng.randint(2, 7))}
    between, after = rng.choice(
        [(": ", " | "), ("=", "; "), (": ", "\n"), (" ", ", "), (": ", "; "), (" -> ", ", ")]
    )
    listing = after.join(f"{key}{between}{value}" for key, value in pairs.items())
    asked = rng.sample(list(pairs), min(len(pairs), rng.randint(1, 5)))
    first, *others = asked
    turns = [(f"{listing}\n{first}?", pairs[first]), *((f"{key}?", pairs[key]) for key in others)]
    return exchange(*turns)


def recall_pair(rng: random.Random) -> Chat:
    """Repeat all pairs in reverse order, or only their values, so that one answer needs many look-ups."""
    pairs = {_key(rng): any_value(rng) for _ in range(rng.randint(2, 5))}
    listing = " | ".join(f"{key}: {value}" for key, value in pairs.items())
    if rng.random() < 0.5:
        return exchange(("Values: " + listing, ", ".join(pairs.values())))
    return exchange(("Backwards: " + listing, " | ".join(f"{key}: {pairs[key]}" for key in reversed(pairs))))


def _key(rng: random.Random) -> str:
    style = rng.random()
    if style < 0.4:
        return rng.choice(NOUNS)
    return (
        pseudo_word(rng)
        if style < 0.7
        else rng.choice("abcdefghijklmnopqrstuvwxyz")
        if style < 0.9
        else digits(rng, 2)
    )


def _random_string(rng: random.Random) -> str:
    style = rng.random()
    if style < 0.3:
        alphabet = rng.sample(
            "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", rng.randint(2, 5)
        )
        return rng.choice(["", " "]).join(rng.choices(alphabet, k=rng.randint(3, 16)))
    if style < 0.55:
        pool = [
            rng.choice(NOUNS + FIRST) if rng.random() < 0.5 else pseudo_word(rng)
            for _ in range(rng.randint(3, 8))
        ]
        return " ".join(rng.choices(pool, k=rng.randint(4, 16)))
    if style < 0.8:
        return rng.choice([" ", ", ", "-", " "]).join(
            digits(rng, rng.randint(1, 6)) for _ in range(rng.randint(1, 8))
        )
    return rng.choice([", ", " | ", " "]).join(any_value(rng) for _ in range(rng.randint(2, 6)))
