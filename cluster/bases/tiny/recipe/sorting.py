"""Task families that classify messages by a stated rule, by earlier examples or by meaning."""

# ruff: noqa: SIM905 - lists of words read better as text

import json
import random

from cluster.bases.tiny.recipe.chat import Chat, exchange
from cluster.bases.tiny.recipe.values import name_word, number, pseudo_word
from cluster.bases.tiny.recipe.words import ADJECTIVES, DAYS, FEELINGS, FIRST, KEYS, KINDS, NOUNS, VERBS

CARRIERS = (
    "We talked about the {}.|I saw a {} there.|The {} is here.|Someone asked for a {}.|{}, please.|"
    "My {} again!|Why is the {} so small?|There is one {} left.|{} said: take the {} to {}.|"
    "On {} we saw the {}.|A {} and nothing else.|It was a {} that {} wanted.|You know the {}.|"
    "Put the {} on the table."
).split("|")


def by_rule(rng: random.Random) -> Chat:
    """Classify by cue words from the system message. The answer is a label, in plain text or JSON."""
    cues = _label_cues(rng)
    key = rng.choice([*KEYS, "label", "kind", "topic", "group", "answer"])
    rule = rng.choice(["; ", "\n"]).join(f"{label}: {', '.join(words)}" for label, words in cues.items())
    wants_json = rng.random() < 0.7
    system = (
        f"Sort by word. {rule}\nAnswer as {json.dumps({key: '...'})}"
        if wants_json
        else f"Sort by word. {rule}"
    )
    return exchange(*_turns(cues, key if wants_json else "", rng, rng.randint(2, 5)), system=system)


def by_examples(rng: random.Random) -> Chat:
    """Classify by earlier answers only. Every cue occurs once before the answers that count in the loss."""
    cues = {label: words[:1] for label, words in _label_cues(rng).items()}
    key = rng.choice(KEYS) if rng.random() < 0.6 else ""
    shown = [(rng.choice(CARRIERS), label) for label in cues]
    asked = [(rng.choice(CARRIERS), rng.choice(list(cues))) for _ in range(rng.randint(2, 5))]
    turns = [
        (_message(carrier, cues[label][0], rng), _answer(label, key)) for carrier, label in shown + asked
    ]
    return exchange(*turns, learned_from_turn=len(shown))


def by_meaning(rng: random.Random) -> Chat:
    """Classify everyday words by meaning. The labels are given, their words are not."""
    groups = FEELINGS if rng.random() < 0.3 else KINDS
    labels = rng.sample(list(groups), rng.randint(2, 4))
    cues = {label: groups[label] for label in labels}
    key = rng.choice(["kind", "label", "topic", "feeling", "group"]) if rng.random() < 0.6 else ""
    system = f"Which of {', '.join(labels)}?" + (f" As {json.dumps({key: '...'})}" if key else "")
    return exchange(*_turns(cues, key, rng, rng.randint(2, 5)), system=system)


def _label_cues(rng: random.Random) -> dict[str, list[str]]:
    labels = [
        rng.choice(NOUNS + VERBS + ADJECTIVES) if rng.random() < 0.7 else pseudo_word(rng)
        for _ in range(rng.randint(2, 4))
    ]
    return {
        label: [
            rng.choice(NOUNS) if rng.random() < 0.7 else pseudo_word(rng) for _ in range(rng.randint(1, 3))
        ]
        for label in labels
    }


def _turns(cues: dict[str, list[str]], key: str, rng: random.Random, count: int) -> list[tuple[str, str]]:
    turns = []
    for _ in range(count):
        label = rng.choice(list(cues))
        turns.append((_message(rng.choice(CARRIERS), rng.choice(cues[label]), rng), _answer(label, key)))
    return turns


def _message(carrier: str, cue: str, rng: random.Random) -> str:
    """Fills the carrier's gaps: the cue in a random one; names, days or numbers in the others."""
    gaps = carrier.count("{}")
    words = [
        rng.choice([rng.choice(FIRST), rng.choice(DAYS), name_word(rng), number(rng)]) for _ in range(gaps)
    ]
    words[rng.randrange(gaps)] = cue
    message = carrier.format(*words)
    return (
        message + " " + rng.choice(["Thanks!", "Not today.", "OK?", "See you."])
        if rng.random() < 0.2
        else message
    )


def _answer(label: str, key: str) -> str:
    return json.dumps({key: label}) if key else label
