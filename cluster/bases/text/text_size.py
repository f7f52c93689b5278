"""Checks whether a text is far too long for a model, by reading no more of it than necessary.

A tokenizer takes seconds and hundreds of megabytes for a few million tokens: a single request, rejected only
for its length, could bring down a server."""

from typing import Any

from cluster.contracts.context_length import too_long_text

_PIECE = 8
"""Number of characters that are read at a time, for each token of the context."""
_MOST_CHARACTERS = 256
"""Maximum characters for each token of the context. No text of that many tokens is this long."""


def check_size(
    tokenizer: Any, text: str, *, context_length: int, param: str, full_length: int | None = None
) -> None:
    """Raises ContextLengthExceeded if `text` has more than twice the tokens of the context. Shorter texts are
    counted when they are encoded. No other thread may use the tokenizer at the same time. `full_length` is
    the context of the model's catalogue entry."""
    piece = _PIECE * context_length
    if len(text) <= piece:
        return
    check_characters(len(text), context_length=context_length, param=param, full_length=full_length)
    num_tokens = 0
    # Cutting anywhere adds a few tokens, which the doubled limit allows for.
    for start in range(0, len(text), piece):
        part = text[start : start + piece]
        num_tokens += len(tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"])
        if num_tokens > 2 * context_length:
            size = f"more than {2 * context_length} tokens"
            raise too_long_text(context_length, size, param=param, full_length=full_length)


def check_characters(
    num_characters: int, *, context_length: int, param: str, full_length: int | None = None
) -> None:
    """Raises ContextLengthExceeded if a text with this many characters cannot fit into the context."""
    if num_characters > _MOST_CHARACTERS * context_length:
        size = f"{num_characters} characters, which are more tokens"
        raise too_long_text(context_length, size, param=param, full_length=full_length)
