"""How a text, or words, become an encoder's token ids. One way for training and serving, so that they never
differ."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

Text = tuple[str, str | None]
"""A text, and another that is read beside it."""


class EncodedWords(NamedTuple):
    token_ids: list[int]
    positions: list[int | None]
    """Per word, where its first token is; None for a word without one: it was cut off, or the tokenizer makes
    nothing of it."""


def encode_texts(tokenizer: Any, texts: Sequence[Text], max_length: int | None = None) -> list[list[int]]:
    """Token ids with the tokenizer's special tokens around and between. With `max_length` the tokenizer cuts
    the texts, never its own last token; that changes its state, so no other thread may use it then."""
    pairs = [text if pair is None else (text, pair) for text, pair in texts]
    # One call takes all of a kind; the order is put together again.
    ids: list[list[int]] = [[] for _ in pairs]
    for is_pair in (False, True):
        places = [place for place, pair in enumerate(pairs) if isinstance(pair, tuple) == is_pair]
        if places:
            encoded = tokenizer([pairs[place] for place in places], **_options(max_length))
            for place, token_ids in zip(places, encoded["input_ids"], strict=True):
                ids[place] = token_ids
    return ids


def encode_words(
    tokenizer: Any, rows: Sequence[Sequence[str]], max_length: int | None = None
) -> list[EncodedWords]:
    """As `encode_texts`, of words, which are read as if parted by spaces. Needs one of the fast tokenizers,
    which know the word of every token."""
    if _keeps_spaces_in_tokens(tokenizer):
        rows = [[word if word.startswith(" ") else f" {word}" for word in words] for words in rows]
    encoded = tokenizer([list(words) for words in rows], is_split_into_words=True, **_options(max_length))
    found = []
    for row, words in enumerate(rows):
        positions: list[int | None] = [None] * len(words)
        word_ids = cast("list[int | None]", encoded.word_ids(row))
        for position in range(len(word_ids) - 1, -1, -1):
            word = word_ids[position]
            if word is not None:
                positions[word] = position
        found.append(EncodedWords(encoded["input_ids"][row], positions))
    return found


def _keeps_spaces_in_tokens(tokenizer: Any) -> bool:
    """Byte-level tokenizers, such as ModernBERT's, know "word" and " word" as different tokens, and have seen
    mostly the second. Some add the space by themselves."""
    pieces = tokenizer.backend_tokenizer.pre_tokenizer
    if pieces is None:
        return False
    alone, after_space = pieces.pre_tokenize_str("a"), pieces.pre_tokenize_str(" a")
    return [text for text, _ in alone] == ["a"] and [text for text, _ in after_space] == ["Ġa"]


def _options(max_length: int | None) -> dict[str, Any]:
    # Without `verbose`, longer texts than the model takes are warned of: their length is checked by us.
    return {
        "padding": False,
        "truncation": max_length is not None,
        "max_length": max_length,
        "verbose": False,
        # The control tokens around and between the texts are ours; what a text says of them is text.
        "split_special_tokens": True,
    }
