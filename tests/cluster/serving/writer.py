"""Writes random texts under a grammar, like an untrained model."""

from random import Random

from cluster.bases.text.vocabulary import Vocabulary
from cluster.serving.text.grammar import Grammar
from cluster.serving.text.guidance import Guidance, Guide, Masks
from tests.tiny_base import make_tokenizer

END, TURN_END = 1, 0
NUM_TOKENS = 384
"""More than the tokenizer has, as with a padded embedding."""

VOCABULARY = Vocabulary(make_tokenizer())
GUIDANCE = Guidance(VOCABULARY, num_tokens=NUM_TOKENS, stop_tokens=frozenset({END, TURN_END}))
MASKS = Masks(NUM_TOKENS)
_CLOSING = frozenset(b'"}],0123456789')


def written(grammar: Grammar, seed: int, *, num_tokens: int = 4000, insists_on: str = "") -> str | None:
    """Text of random tokens, with a preference for those that close something; None if it does not end.
    Characters in `insists_on` are chosen most of the time where they are allowed."""
    random = Random(seed)
    guide = GUIDANCE.start(grammar)
    said = b""
    for _ in range(num_tokens):
        tokens = _allowed(guide)
        closing = [token for token in tokens if _CLOSING & set(VOCABULARY.token_bytes(token))]
        again = [token for token in tokens if VOCABULARY.text([token]) in set(insists_on)]
        if again and random.random() < 0.8:
            tokens = again
        elif closing and random.random() < 0.3:
            tokens = closing
        token = random.choice(tokens)
        if token in (END, TURN_END):
            return said.decode()
        said += VOCABULARY.token_bytes(token)
        guide.accept(token)
        if guide.must_end:
            return said.decode()
    return None


def can_write(grammar: Grammar, text: str) -> bool:
    """Whether the text can be written byte by byte and end there."""
    guide = GUIDANCE.start(grammar)
    for byte in text.encode():
        fitting = [token for token in _allowed(guide) if VOCABULARY.token_bytes(token) == bytes([byte])]
        if not fitting:
            return False
        guide.accept(fitting[0])
    return guide.may_end


def _allowed(guide: Guide) -> list[int]:
    tokens: list[int] = MASKS.allowed([guide])[0].nonzero()[:, 0].tolist()
    return tokens
