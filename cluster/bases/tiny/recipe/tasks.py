"""The pre-training curriculum: decides which task families are drawn when. Deterministic by seed.

It starts with copying and look-up of random strings, which teaches the network to find and repeat. After that
come records, templates, lists, sorting, extraction, plain English and a few tool calls, always with new
values.
"""

import random
from collections.abc import Callable

from cluster.bases.tiny.recipe import copying, domains, language, lists, rewriting, sorting
from cluster.bases.tiny.recipe.chat import Chat

Family = Callable[[random.Random], Chat]

OPENING_SHARE = 0.13
"""Share of the training time in which only copying and look-up are trained."""

OPENING: dict[Family, float] = {
    copying.repeat: 4,
    copying.look_up: 4,
    copying.recall_pair: 3,
    copying.repeat_value: 2,
}

MIX: dict[Family, float] = {
    copying.repeat: 3,
    copying.look_up: 4,
    copying.recall_pair: 2,
    copying.repeat_value: 4,
    rewriting.fill_shown_template: 16,
    rewriting.follow_examples: 14,
    rewriting.convert_notation: 9,
    rewriting.answer_fields: 7,
    rewriting.pick_fields: 5,
    rewriting.extract: 7,
    domains.fixed_style: 14,
    domains.fixed_sorting: 7,
    sorting.by_rule: 6,
    sorting.by_examples: 4,
    sorting.by_meaning: 4,
    lists.edit: 6,
    language.continue_text: 4,
    language.small_talk: 2,
    language.call_tool: 3,
}


def pretraining_chat(progress: float, rng: random.Random) -> Chat:
    """Draws a conversation for a point (0 to 1) of the training time."""
    families = OPENING if progress < OPENING_SHARE else MIX
    return rng.choices(list(families), list(families.values()))[0](rng)


def pretraining_chats(count: int, seed: int, progress: float = 1.0) -> list[Chat]:
    """Draws `count` conversations. The same seed and progress give the same conversations."""
    rng = random.Random(f"tiny {seed} {progress:.3f}")
    return [pretraining_chat(progress, rng) for _ in range(count)]
