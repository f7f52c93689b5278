"""Task families whose output format is never shown. The model has to remember the format of each domain."""

import json
import random
from functools import cache

from cluster.bases.tiny.recipe.chat import Chat, exchange
from cluster.bases.tiny.recipe.records import NOTATIONS, Kind, Schema, random_notation, random_schema
from cluster.bases.tiny.recipe.templates import Template, fill, random_template
from cluster.bases.tiny.recipe.values import (
    clock,
    code,
    date,
    name_word,
    number,
    person,
    place,
    price,
    thing,
    word,
)

GENERATED_STYLES = 60

STYLES: list[tuple[dict[str, Kind], str]] = [
    (
        {"town": place, "high": number, "low": number},
        "In {town} it will be between {low} and {high} degrees.",
    ),
    (
        {"book": thing, "writer": person, "pages": number},
        "{writer} wrote a book of {pages} pages called {book}.",
    ),
    ({"home": name_word, "away": name_word, "result": code}, "{home} met {away}; it ended {result}."),
    ({"flight": code, "to": place, "leaves": clock}, "Flight {flight} to {to} leaves at {leaves}."),
    ({"pet": name_word, "kind": word, "age": number}, "{pet} is a {kind} and {age} years old."),
    (
        {"plant": thing, "litres": number, "weekday": date},
        "Give the {plant} {litres} litres of water on {weekday}.",
    ),
    ({"actor": person, "role": name_word, "film": thing}, "In {film}, {actor} plays {role}."),
    ({"room": code, "guest": person, "nights": number}, "{guest} stays in room {room} for {nights} nights."),
    ({"driver": person, "car": code, "time": number}, "{driver} finished in {time} seconds with car {car}."),
    ({"patient": person, "doctor": name_word, "when": date}, "Dr {doctor} sees {patient} on {when}."),
    ({"stop": place, "line": number, "minutes": number}, "Line {line} reaches {stop} in {minutes} minutes."),
    ({"student": person, "course": thing, "marks": number}, "{student} got {marks} marks in {course}."),
    ({"dish": thing, "cook": person, "euros": price}, "{dish} by {cook}, {euros} euros."),
    (
        {"painting": thing, "painter": person, "year": number},
        "The painting {painting} ({year}) is by {painter}.",
    ),
    ({"tool": thing, "borrower": person, "back": date}, "{borrower} has borrowed the {tool} until {back}."),
    (
        {"star": name_word, "distance": number, "class": code},
        "{star}, class {class}, is {distance} light years away.",
    ),
    ({"song": thing, "band": name_word, "length": clock}, "Now playing {song} by {band} ({length})."),
    (
        {"hill": name_word, "metres": number, "country": place},
        "At {metres} metres, {hill} rises over {country}.",
    ),
    ({"sample": code, "weight": price, "lab": place}, "Sample {sample}: {weight} grams, measured in {lab}."),
    ({"account": code, "balance": price, "holder": person}, "{holder} holds {balance} in account {account}."),
]

SORTING_DOMAINS: list[tuple[str, str, dict[str, str], dict[str, str], list[str]]] = [
    (
        "part",
        "mood",
        {
            "food": "soup dish bread dessert salad pasta",
            "staff": "waiter cook owner host barman",
            "place": "table music garden view terrace light",
        },
        {
            "good": "lovely|great|a pleasure|wonderful",
            "bad": "awful|a disappointment|not good at all|terrible",
        },
        [
            "The {} was {}.",
            "We found the {} {}.",
            "I must say that the {} was {}.",
            "Yesterday the {} was {}!",
        ],
    ),
    (
        "section",
        "age",
        {
            "science": "atom planet cell crystal magnet",
            "history": "king war castle empire treaty",
            "nature": "forest bird river insect flower",
        },
        {
            "child": "for my son|for a little girl|for small children",
            "adult": "for myself|for my mother|for an expert",
        },
        [
            "Do you have a book about the {} {}?",
            "I want to read about a {}, {}.",
            "Something on the {} {}, please.",
        ],
    ),
    (
        "sport",
        "outcome",
        {
            "football": "goal penalty striker keeper",
            "tennis": "racket serve set net",
            "swimming": "pool lane dive stroke",
        },
        {
            "won": "and they won|and took the medal|and came first",
            "lost": "but they lost|and went home sad|and came last",
        },
        ["It was all about the {} {}.", "A fine {} today {}.", "The {} decided it {}."],
    ),
    (
        "sky",
        "advice",
        {
            "rain": "shower drizzle cloud puddle",
            "sun": "heat sunshine sunburn drought",
            "snow": "ice frost blizzard flake",
        },
        {"stay": "stay at home|do not go out|lock the door", "go": "go outside|take a walk|enjoy the day"},
        ["There will be {}: {}.", "After the {}, {}.", "Expect some {} and {}."],
    ),
    (
        "animal",
        "action",
        {"pet": "cat dog hamster parrot", "farm": "cow sheep pig hen", "wild": "wolf bear eagle fox"},
        {
            "feed": "is hungry|wants to eat|has no food",
            "heal": "is hurt|has a fever|needs the vet",
            "none": "is fine|sleeps well",
        },
        ["My neighbour's {} {}.", "The {} {}.", "Look, a {} that {}.", "One {} {} since morning."],
    ),
]


def fixed_style(rng: random.Random) -> Chat:
    """Write a record as the sentence of its domain."""
    number_of_styles = len(STYLES) + GENERATED_STYLES
    index = rng.randrange(number_of_styles)
    if index < len(STYLES):
        kinds, sentence = STYLES[index]
        schema, template, system = Schema(kinds), _parse(sentence), ""
        notation = "pipes" if rng.random() < 0.7 else random_notation(rng)
    else:
        schema, template, notation = _generated_style(index)
        system = f"Style {index}"
    records = [schema.draw(rng) for _ in range(rng.randint(1, 3))]
    return exchange(
        *((NOTATIONS[notation](fields), fill(template, fields)) for fields in records), system=system
    )


def fixed_sorting(rng: random.Random) -> Chat:
    """Classify remarks by two cues, in the JSON format of their domain."""
    first_key, second_key, first, second, carriers = rng.choice(SORTING_DOMAINS)
    turns = []
    for _ in range(rng.randint(1, 4)):
        one, two = rng.choice(list(first)), rng.choice(list(second))
        remark = rng.choice(carriers).format(
            rng.choice(first[one].split()), rng.choice(second[two].split("|"))
        )
        turns.append((remark, json.dumps({first_key: one, second_key: two})))
    return exchange(*turns)


@cache
def _generated_style(index: int) -> tuple[Schema, Template, str]:
    rng = random.Random(f"style {index}")
    schema = random_schema(rng, 5)
    return schema, random_template(list(schema.kinds), rng), random_notation(rng)


def _parse(sentence: str) -> Template:
    return [piece for part in sentence.split("{") for piece in part.split("}")]
