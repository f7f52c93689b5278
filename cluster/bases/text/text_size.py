"""Whether a text is far too long for a model, told from as little of it as tells.

A tokenizer takes seconds and hundreds of megabytes for a few million tokens: enough to end a server by one
request whose answer is only that it is too long.
"""

from typing import Any

from cluster.contracts.errors import ContextLengthExceeded

_PIECE = 8
"""Characters of one look, for each token that the model reads."""
_MOST_CHARACTERS = 256
"""For each token that the model reads: no text of that many tokens is so long."""


def check_size(tokenizer: Any, text: str, *, context_length: int, param: str) -> None:
    """Raises ContextLengthExceeded if `text` has more than twice the tokens that the model reads; what is
    shorter is to be counted by reading it. The tokenizer is not for another thread meanwhile."""
    piece = _PIECE * context_length
    if len(text) <= piece:
        return
    check_characters(len(text), context_length=context_length, param=param)
    num_tokens = 0
    # Cut anywhere: a cut makes a few tokens more, and the limit is doubled.
    for start in range(0, len(text), piece):
        part = text[start : start + piece]
        num_tokens += len(tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"])
        if num_tokens > 2 * context_length:
            raise _too_long(context_length, f"more than {2 * context_length}", param)


def check_characters(num_characters: int, *, context_length: int, param: str) -> None:
    """Raises ContextLengthExceeded if no text of so many characters is as few tokens as the model reads."""
    if num_characters > _MOST_CHARACTERS * context_length:
        raise _too_long(context_length, f"{num_characters} characters", param)


def _too_long(context_length: int, size: str, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"This model reads {context_length} tokens. This text has {size}; shorten it.", param=param
    )
