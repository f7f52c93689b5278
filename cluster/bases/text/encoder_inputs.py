"""Turns texts or words into an encoder's token ids. Training and serving share this code, so that they never
differ."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

Text = tuple[str, str | None]
"""A text, and optionally a second text that is read together with it."""


class EncodedWords(NamedTuple):
    token_ids: list[int]
    positions: list[int | None]
    """Position of each word's first token. None for a word without tokens: it was cut off, or the tokenizer
    drops it."""


def encode_texts(tokenizer: Any, texts: Sequence[Text], max_length: int | None = None) -> list[list[int]]:
    """Returns token ids with the tokenizer's special tokens around and between the texts. With `max_length`,
    the tokenizer truncates the texts, but never its own last token. Truncation changes its state, so no other
    thread may use the tokenizer at the same time."""
    pairs = [text if pair is None else (text, pair) for text, pair in texts]
    # One call encodes all inputs of a kind; their order is restored afterwards.
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
    """Like `encode_texts`, for words, which are read as if separated by spaces. Needs a fast tokenizer, which
    knows the word of every token."""
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
    """Whether the tokenizer has different tokens for "word" and " word" and has mostly seen the second, like
    the byte-level tokenizers of ModernBERT and others. Some tokenizers add the space themselves."""
    pieces = tokenizer.backend_tokenizer.pre_tokenizer
    if pieces is None:
        return False
    alone, after_space = pieces.pre_tokenize_str("a"), pieces.pre_tokenize_str(" a")
    return [text for text, _ in alone] == ["a"] and [text for text, _ in after_space] == ["Ġa"]


def _options(max_length: int | None) -> dict[str, Any]:
    # Without `verbose`, transformers would warn about texts that exceed the model's length. Lengths are
    # checked elsewhere.
    return {
        "padding": False,
        "truncation": max_length is not None,
        "max_length": max_length,
        "verbose": False,
        # The control tokens around and between the texts are added here; inside a text, they are plain text.
        "split_special_tokens": True,
    }
