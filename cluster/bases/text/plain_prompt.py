"""Turns a prompt that is not a conversation into token ids. The caller writes all of it, including control
tokens."""

from typing import Any


def encode_prompt(tokenizer: Any, text: str, *, split_special_tokens: bool = False) -> list[int]:
    """Returns the token ids of a plain prompt: with the tokenizer's beginning-of-text token if it adds one,
    without an end of text. Never empty, because something must precede the first new token.

    With `split_special_tokens`, special tokens in the text are treated as ordinary text, like transformers'
    option of the same name."""
    return encode_prompts(tokenizer, [text], split_special_tokens=split_special_tokens)[0]


def encode_prompts(
    tokenizer: Any, texts: list[str], *, split_special_tokens: bool = False
) -> list[list[int]]:
    """Applies `encode_prompt` to each text, with one call of a tokenizer that encodes many texts at once."""
    encoded = tokenizer(texts, verbose=False, split_special_tokens=split_special_tokens)["input_ids"]
    return [_to_be_continued(tokenizer, text, ids) for text, ids in zip(texts, encoded, strict=True)]


def _to_be_continued(tokenizer: Any, text: str, ids: list[int]) -> list[int]:
    if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id and not text.endswith(tokenizer.eos_token):
        ids = ids[:-1]
    if not ids:
        first = tokenizer.bos_token_id
        return [tokenizer.eos_token_id if first is None else first]
    return ids
