"""Finds which tokens end an answer, and after how many tokens."""

from dataclasses import dataclass

from cluster.contracts.generation import Sampling


@dataclass(frozen=True, slots=True)
class Ending:
    own_tokens: frozenset[int]
    """Tokens of `tokens` that are the model's own."""
    tokens: frozenset[int]
    """All tokens that end the answer."""
    min_tokens: int
    """Number of tokens that come before any end."""


def ending(sampling: Sampling, stop_tokens: frozenset[int], *, has_grammar: bool) -> Ending:
    """Returns the ending. `stop_tokens` are the model's own end tokens. A text with a grammar ends where its
    grammar ends, because the grammar may leave no way to continue."""
    own = frozenset() if sampling.ignore_eos and not has_grammar else stop_tokens
    return Ending(own, own | frozenset(sampling.stop_token_ids), 0 if has_grammar else sampling.min_tokens)
