"""Training prompts for the publish gate, which checks that the tuned model ends its answers by itself."""

from collections.abc import Iterator

import numpy as np

from cluster.contracts.manifest import AnswerPrompt
from cluster.training.data.dataset import Dataset

PROMPTS = 4
_LOOKED_AT = 256
"""How many examples are considered. The prompts with the shortest answers among them are used."""


def answer_prompts(data: Dataset, stop_tokens: frozenset[int]) -> list[AnswerPrompt]:
    """Returns the prompts of at most PROMPTS examples whose last answer ends with a learned stop token.
    Truncated answers do not end with one, and an encoder's examples have no answers."""
    if data.class_ids is not None:
        return []
    found = sorted(_ended(data, stop_tokens), key=lambda prompt: prompt.answer_tokens)
    return found[:PROMPTS]


def _ended(data: Dataset, stop_tokens: frozenset[int]) -> Iterator[AnswerPrompt]:
    for example in range(min(_LOOKED_AT, len(data))):
        # For a preference, this is the sequence with the preferred answer.
        sequence = example * data.sequences_per_example
        start, end = data.offsets[sequence], data.offsets[sequence + 1]
        token_ids, mask = data.token_ids[start:end], data.mask[start:end]
        last = int(np.flatnonzero(mask)[-1])
        before = np.flatnonzero(~mask[:last])
        first = int(before[-1]) + 1
        if int(token_ids[last]) in stop_tokens:
            yield AnswerPrompt(token_ids=token_ids[:first].tolist(), answer_tokens=last + 1 - first)
