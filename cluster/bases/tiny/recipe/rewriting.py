"""Task families that move a record's values into a sentence, another notation or an answer."""

import random

from cluster.bases.tiny.recipe.chat import Chat, exchange
from cluster.bases.tiny.recipe.records import (
    NOTATIONS,
    Fields,
    Schema,
    as_json,
    random_notation,
    random_schema,
)
from cluster.bases.tiny.recipe.templates import fill, random_template, show

MARKS = [("{", "}"), ("<", ">"), ("[", "]"), ("{", "}"), ("(", ")"), ("$", "")]


def fill_shown_template(rng: random.Random) -> Chat:
    """Fill in a template from the instruction, for one to four records."""
    schema, notation = random_schema(rng), random_notation(rng)
    template = random_template(list(schema.kinds), rng)
    lead = rng.choice(["Fill in: ", "Template: ", "Write: ", "Use this form: ", "Write each as: "])
    instruction = lead + show(template, rng.choice(MARKS))
    records = _records(schema, rng, rng.randint(1, 4))
    turns = [(NOTATIONS[notation](fields), fill(template, fields)) for fields in records]
    if rng.random() < 0.5:
        return exchange(*turns, system=instruction)
    turns[0] = (instruction + "\n" + turns[0][0], turns[0][1])
    return exchange(*turns)


def follow_examples(rng: random.Random) -> Chat:
    """Continue the form of earlier answers. The first cannot be guessed and does not count in the loss."""
    schema, notation = random_schema(rng, 5), random_notation(rng)
    template = random_template(list(schema.kinds), rng)
    records = _records(schema, rng, rng.randint(2, 5))
    turns = [(NOTATIONS[notation](fields), fill(template, fields)) for fields in records]
    return exchange(*turns, learned_from_turn=1)


def convert_notation(rng: random.Random) -> Chat:
    """Rewrite a record in another notation."""
    schema, source, target = random_schema(rng), random_notation(rng), random_notation(rng)
    turns = []
    for fields in _records(schema, rng, rng.randint(1, 3)):
        question = rng.choice([f"As {target}:", f"Convert to {target}.", f"Rewrite as {target}:"])
        turns.append((f"{question}\n{NOTATIONS[source](fields)}", NOTATIONS[target](fields)))
    return exchange(*turns)


def answer_fields(rng: random.Random) -> Chat:
    """Answer several questions about single fields of a record."""
    fields = random_schema(rng).draw(rng)
    ask = rng.choice(["What is the {}?", "Which {}?", "{}?", "Tell me the {}.", "Give the {}."])
    asked = rng.sample(list(fields), rng.randint(1, len(fields)))
    says_key = rng.random() < 0.25
    turns = [(ask.format(key), f"The {key} is {fields[key]}." if says_key else fields[key]) for key in asked]
    turns[0] = (NOTATIONS[random_notation(rng)](fields) + "\n" + turns[0][0], turns[0][1])
    system = "Answer in a sentence." if says_key else ""
    return exchange(*turns, system=system)


def pick_fields(rng: random.Random) -> Chat:
    """Give some fields in the requested order, with the requested separator or as JSON."""
    schema, notation = random_schema(rng), random_notation(rng)
    keys = rng.sample(list(schema.kinds), rng.randint(1, len(schema.kinds)))
    separator = rng.choice([", ", " - ", "; ", " / ", " | ", "\n"])
    wants_json = rng.random() < 0.4
    form = "as JSON" if wants_json else f"with {separator.strip() or 'newlines'}"
    turns = []
    for fields in _records(schema, rng, rng.randint(1, 3)):
        answer = (
            as_json({key: fields[key] for key in keys})
            if wants_json
            else separator.join(fields[k] for k in keys)
        )
        turns.append((f"Give {', '.join(keys)} {form}.\n{NOTATIONS[notation](fields)}", answer))
    return exchange(*turns)


def extract(rng: random.Random) -> Chat:
    """Extract the values from sentences of one template, as JSON."""
    schema = random_schema(rng, 4)
    template = random_template(list(schema.kinds), rng)
    keys = template[1::2]
    turns = []
    for fields in _records(schema, rng, rng.randint(2, 4)):
        found = as_json({key: fields[key] for key in keys})
        turns.append((fill(template, fields), found))
    instruction = f"Extract {', '.join(keys)} as JSON. The form is: {show(template, rng.choice(MARKS))}"
    return exchange(*turns, system=instruction)


def _records(schema: Schema, rng: random.Random, count: int) -> list[Fields]:
    """Draws records of one schema. In a quarter of the chats, the order of fields changes between records."""
    shuffles = rng.random() < 0.25
    records = []
    for _ in range(count):
        items = list(schema.draw(rng).items())
        if shuffles:
            rng.shuffle(items)
        records.append(dict(items))
    return records
