"""Two tasks that are kept out of pre-training.

One sorts support messages into JSON, the other rewrites order records as sentences. Both are tasks for which
one would fine-tune a small model. A checksum of an example's content, and not the seed, decides between the
training and the test split, so the two never overlap. The `unseen` split of the rewriting task uses values
that occur neither in fine-tuning nor in pre-training (`values.value_of` rejects `RESERVED`).
"""

# ruff: noqa: SIM905 - lists of words read better as text

import json
import random
from collections.abc import Callable
from typing import Literal
from zlib import crc32

Message = dict[str, str]
Split = Literal["train", "test", "unseen"]
_Draw = Callable[[random.Random, bool], tuple[str, str]]

TEAM_CUES = {
    "billing": ["invoice", "refund", "receipt", "payment", "discount"],
    "technical": ["app", "screen", "update", "download", "printer"],
    "shipping": ["parcel", "courier", "delivery", "tracking", "package"],
    "account": ["password", "profile", "username", "login", "membership"],
}
URGENCY_CUES = {
    "high": ["I need this today.", "This is urgent.", "Please help right now.", "It cannot wait."],
    "normal": ["Please let me know.", "Thanks for looking into it.", "Please reply this week."],
    "low": ["There is no rush.", "Whenever you have time.", "It can wait."],
}
CARRIERS = [
    "There is a problem with my {}.",
    "The {} is not right.",
    "I have a question about the {}.",
    "Something went wrong with the {}.",
    "My {} does not look correct.",
    "I am still waiting for help with my {}.",
    "Can you check my {}?",
    "The {} did not work.",
]
GREETINGS = ["", "Hello.", "Hi there.", "Good morning.", "Dear team."]

FIRST_NAMES = (
    "Alice Ben Carla David Emma Felix Grace Henry Irene Jack Karen Leo Maria Nina Oscar Paula Robert "
    "Sara Tom Vera"
).split()
LAST_NAMES = (
    "Adams Baker Clark Davis Evans Fisher Green Harris Irving Jones King Lewis Miller Norris Owens "
    "Parker Reed Scott Turner Walker"
).split()
ITEMS = (
    "copper kettle|garden hose|desk lamp|wool blanket|paper notebook|steel bottle|leather belt|cotton shirt|"
    "kitchen scale|wall clock|glass bowl|camping tent|bread knife|coffee grinder|rubber boots|picnic basket|"
    "bicycle pump|winter coat|tea towel|board game"
).split("|")

UNSEEN_FIRST_NAMES = (
    "Quorra Zephyrin Ixtli Thaddeus Oona Bjorg Xiomara Wulfric Eudora Caspian Yrsa Balthazar Nnamdi "
    "Siobhan Kweku"
).split()
UNSEEN_LAST_NAMES = (
    "Vexley Thrupp Zbornak Okonkwo Fjeldstad Quattlebaum Szymborski Mbeki Llewellyn Droggitt Yazzie "
    "Hobbelink Oyelaran Prszybylo Aabbott"
).split()
UNSEEN_ITEMS = (
    "brass astrolabe|velvet ottoman|bamboo xylophone|quartz hourglass|ivory domino|walnut zither|"
    "denim pouffe|onyx gargoyle|wicker gazebo|pewter samovar|felt fedora|jute macrame|oak lectern|"
    "mohair kimono|tin kazoo"
).split("|")
UNSEEN_ORDERS = (
    "4411 1007 2200 5553 9099 7711 3033 8808 6616 1211 4144 7007 2252 9119 5005 3388 6060 1771 8448 2022"
).split()
UNSEEN_PRICES = (
    "88.80 100.10 77.07 111.99 55.50 22.25 330.33 99.09 44.14 600.60 11.21 717.77 66.05 202.22 35.55"
).split()
UNSEEN_QUANTITIES = "101 121 144 177 200 212 255 311 330 404 499 1100".split()

RESERVED = frozenset(
    UNSEEN_FIRST_NAMES
    + UNSEEN_LAST_NAMES
    + [word for item in UNSEEN_ITEMS for word in item.split()]
    + UNSEEN_ITEMS
    + UNSEEN_ORDERS
    + UNSEEN_PRICES
    + UNSEEN_QUANTITIES
)
"""Values that never occur in pre-training and fine-tuning as whole words or numbers."""


def sorting_examples(count: int, seed: int, split: Split) -> list[list[Message]]:
    """`count` distinct support messages, each with its answer `{"team": …, "urgency": …}`."""
    return _distinct(_sorting_example, count, random.Random(f"sorting {split} {seed}"), split)


def rewriting_examples(count: int, seed: int, split: Split) -> list[list[Message]]:
    """`count` distinct order records, each with its sentence."""
    return _distinct(_rewriting_example, count, random.Random(f"rewriting {split} {seed}"), split)


def _distinct(draw: _Draw, count: int, rng: random.Random, split: Split) -> list[list[Message]]:
    chosen: dict[str, list[Message]] = {}
    while len(chosen) < count:
        prompt, answer = draw(rng, split == "unseen")
        is_test = crc32(prompt.encode()) % 4 == 0
        if split == "unseen" or is_test == (split == "test"):
            chosen[prompt] = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return list(chosen.values())


def _sorting_example(rng: random.Random, is_unseen: bool) -> tuple[str, str]:
    if is_unseen:
        raise ValueError("the sorting task has no unseen split: the model knows no synonyms")
    team = rng.choice(list(TEAM_CUES))
    urgency = rng.choice(list(URGENCY_CUES))
    problem = rng.choice(CARRIERS).format(rng.choice(TEAM_CUES[team]))
    sentences = [rng.choice(GREETINGS), problem, rng.choice(URGENCY_CUES[urgency])]
    return " ".join(filter(None, sentences)), json.dumps({"team": team, "urgency": urgency})


def _rewriting_example(rng: random.Random, is_unseen: bool) -> tuple[str, str]:
    order, quantity, price = _unseen_numbers(rng) if is_unseen else _seen_numbers(rng)
    first = rng.choice(UNSEEN_FIRST_NAMES if is_unseen else FIRST_NAMES)
    last = rng.choice(UNSEEN_LAST_NAMES if is_unseen else LAST_NAMES)
    item = rng.choice(UNSEEN_ITEMS if is_unseen else ITEMS)
    record = (
        f"order: {order} | customer: {first} {last} | item: {item} | quantity: {quantity} | price: {price}"
    )
    return record, f"{first} {last} bought {quantity} x {item} at ${price} each (order {order})."


def _seen_numbers(rng: random.Random) -> tuple[str, str, str]:
    """An order number, a quantity and a price, none of them reserved."""
    order = quantity = price = next(iter(RESERVED))
    while order in RESERVED:
        order = str(rng.randint(1000, 9999))
    while quantity in RESERVED:
        quantity = str(rng.randint(1, 250))
    while price in RESERVED:
        price = f"{rng.randint(100, 99999) / 100:.2f}"
    return order, quantity, price


def _unseen_numbers(rng: random.Random) -> tuple[str, str, str]:
    return rng.choice(UNSEEN_ORDERS), rng.choice(UNSEEN_QUANTITIES), rng.choice(UNSEEN_PRICES)
