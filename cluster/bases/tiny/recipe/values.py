"""Random values to be copied: names, numbers with repeated digits, prices, dates, codes, pseudo-words.

A tiny model fails at repeats and odd spellings, so both are frequent here. `any_value` and `value_of` never
return a value from `heldout.RESERVED`.
"""

# ruff: noqa: SIM905 - lists of words read better as text

import random
from collections.abc import Callable

from cluster.bases.tiny.recipe.heldout import RESERVED
from cluster.bases.tiny.recipe.words import ADJECTIVES, CITIES, COLOURS, DAYS, FIRST, LAST, MONTHS, NOUNS

LOWER = "abcdefghijklmnopqrstuvwxyz"
CONSONANTS = (
    "b c d f g h j k l m n p q r s t v w x z "
    "br ch cl dr fl gr kl kr ll mb nd ng pr qu sh sk sl sp st th tr zh"
).split()
VOWELS = "a e i o u y aa ae ai ea ee ei ia io oo ou ue".split()
ACCENTED = "é ö ø å ü ñ ç ł š ž á í ó ê".split()


def any_value(rng: random.Random) -> str:
    """A value of a random kind. Three in five contain digits or an invented word."""
    kind = rng.choices(KINDS_OF_VALUE, WEIGHTS)[0]
    return value_of(kind, rng)


def value_of(kind: Callable[[random.Random], str], rng: random.Random) -> str:
    """A value of the given kind without reserved words."""
    while True:
        value = kind(rng)
        if RESERVED.isdisjoint([value, *value.replace("-", " ").split()]):
            return value


def pseudo_word(rng: random.Random) -> str:
    """An invented lower-case word of 2 to 11 letters, sometimes with doubled or few different letters."""
    style = rng.random()
    if style < 0.45:
        return "".join(
            rng.choice(CONSONANTS) + rng.choice(VOWELS) + rng.choice(["", "", rng.choice(LOWER)])
            for _ in range(rng.randint(1, 3))
        )
    if style < 0.6:
        return "".join(rng.choices(LOWER, k=rng.randint(2, 8)))
    if style < 0.75:
        letters = rng.sample(LOWER, rng.randint(2, 3))
        return "".join(rng.choices(letters, k=rng.randint(3, 7)))
    word = rng.choice(NOUNS if rng.random() < 0.5 else FIRST + LAST).lower()
    cut = rng.randint(1, len(word) - 1)
    if style < 0.87:
        return word[:cut] + rng.choice(LOWER) + word[cut:]
    other = rng.choice(NOUNS)
    return word[:cut] + other[len(other) // 2 :]


def name_word(rng: random.Random) -> str:
    """A capitalised word: a common name or, more often, an invented one."""
    if rng.random() < 0.35:
        return rng.choice(FIRST + LAST)
    word = pseudo_word(rng)
    if rng.random() < 0.06:
        at = rng.randrange(len(word))
        word = word[:at] + rng.choice(ACCENTED) + word[at + 1 :]
    word = word.capitalize()
    return rng.choice(["O'", "Mc", "Al-", "De"]) + word if rng.random() < 0.05 else word


def person(rng: random.Random) -> str:
    """A first name with a last name, sometimes with an initial or a second last name."""
    is_common = rng.random() < 0.4
    names = [rng.choice(FIRST), rng.choice(LAST)] if is_common else [name_word(rng), name_word(rng)]
    if rng.random() < 0.1:
        names.insert(1, rng.choice(LOWER).upper() + ".")
    if rng.random() < 0.1:
        names[-1] += "-" + name_word(rng)
    return " ".join(names)


def digits(rng: random.Random, length: int) -> str:
    """`length` digits without a leading zero, mostly from one to three different ones, so they repeat."""
    alphabet = "0123456789" if rng.random() < 0.35 else "".join(rng.sample("0123456789", rng.randint(1, 3)))
    text = "".join(rng.choices(alphabet, k=length))
    return text if text[0] != "0" else rng.choice("123456789") + text[1:]


def number(rng: random.Random) -> str:
    """A whole number of one to seven digits, sometimes with a thousands comma."""
    text = digits(rng, rng.choices([1, 2, 3, 4, 5, 6, 7], [8, 20, 28, 26, 10, 5, 3])[0])
    return f"{int(text):,}" if rng.random() < 0.06 else text


def price(rng: random.Random) -> str:
    """An amount with two decimals, sometimes with a currency sign or code."""
    amount = (
        digits(rng, rng.choices([1, 2, 3, 4], [15, 40, 35, 10])[0])
        + "."
        + rng.choice([digits(rng, 2), "00", "50", digits(rng, 1) + "0"])
    )
    sign = rng.random()
    if sign < 0.12:
        return "$" + amount
    if sign < 0.18:
        return amount + rng.choice([" EUR", " USD", " kr"])
    return amount


def date(rng: random.Random) -> str:
    """A calendar date in one of six notations."""
    year, month, day = rng.randint(1890, 2040), rng.randint(1, 12), rng.randint(1, 28)
    name = MONTHS[month - 1]
    return rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day:02}/{month:02}/{year}",
            f"{day} {name} {year}",
            f"{name} {day}",
            f"{day}.{month}.{year}",
            rng.choice(DAYS),
        ]
    )


def clock(rng: random.Random) -> str:
    """A time of day."""
    return rng.choice(
        [
            f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
            f"{rng.randint(1, 12)} {rng.choice(['am', 'pm'])}",
        ]
    )


def code(rng: random.Random) -> str:
    """An identifier such as AB-1101, x7x7, 0a0b or INV/2212, from a small alphabet."""
    letters = rng.sample(LOWER, rng.randint(1, 3))
    word = "".join(rng.choices(letters, k=rng.randint(1, 4)))
    word = word.upper() if rng.random() < 0.6 else word
    if rng.random() < 0.25:
        mixed = rng.sample("0123456789abcdef", rng.randint(2, 4))
        return "".join(rng.choices(mixed, k=rng.randint(4, 8)))
    return word + rng.choice(["-", "-", "", "/", "_", "."]) + digits(rng, rng.randint(1, 5))


def email(rng: random.Random) -> str:
    """An address at an example host."""
    user = rng.choice([pseudo_word(rng), rng.choice(FIRST).lower() + digits(rng, 2)])
    return f"{user}@{pseudo_word(rng)}.{rng.choice(['com', 'org', 'net'])}"


def phone(rng: random.Random) -> str:
    """A telephone number with repeated digits."""
    return (
        rng.choice(["+", "0"])
        + digits(rng, 2)
        + " "
        + digits(rng, 3)
        + rng.choice([" ", "-"])
        + digits(rng, 4)
    )


def thing(rng: random.Random) -> str:
    """One to three lower-case words that name a thing, some of them invented."""
    words = [rng.choice(NOUNS) if rng.random() < 0.6 else pseudo_word(rng)]
    if rng.random() < 0.7:
        words.insert(0, rng.choice(ADJECTIVES + COLOURS) if rng.random() < 0.6 else pseudo_word(rng))
    if rng.random() < 0.15:
        words.insert(0, rng.choice(ADJECTIVES) if rng.random() < 0.5 else pseudo_word(rng))
    return " ".join(words)


def place(rng: random.Random) -> str:
    """A town, real or invented."""
    return rng.choice(CITIES) if rng.random() < 0.4 else name_word(rng)


def word(rng: random.Random) -> str:
    """A single lower-case word, real or invented."""
    return rng.choice(NOUNS + ADJECTIVES) if rng.random() < 0.4 else pseudo_word(rng)


KINDS_OF_VALUE: list[Callable[[random.Random], str]] = [
    person, name_word, number, price, date, clock, code, email, phone, thing, place, word,
]  # fmt: skip
WEIGHTS = [14, 8, 20, 12, 6, 2, 8, 1.5, 1.5, 14, 6, 6]
