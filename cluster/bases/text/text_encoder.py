"""Turns rendered text into token ids. This is the only place where text supplied by users becomes tokens of a
chat."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from cluster.bases.text.control_tokens import ControlTokens, Rendering
from cluster.contracts.errors import InvalidConfiguration, InvalidRequest

_Encoded = tuple[list[int], list[tuple[int, int]]]
"""Token ids, and each token's [start, end) in the text, in characters."""
_BEFORE = "\n"


class TextEncoder:
    """Encodes renderings with a tokenizer's own vocabulary and rules. Thread-safe."""

    def __init__(self, tokenizer: Any, control: ControlTokens) -> None:
        """Raises InvalidConfiguration for a tokenizer that exists only in Python."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise InvalidConfiguration(
                f"{type(tokenizer).__name__} is not a fast tokenizer, which a chat needs to tell where in a "
                "text each token stands. Convert it to a tokenizer.json."
            )
        self._control = control
        self._backend = backend
        self._tokenizer = _copy(backend)
        self._ids_before = self._tokenizer.encode(_BEFORE, add_special_tokens=False).ids

    def encode(self, rendering: Rendering, cuts: Sequence[int] = ()) -> tuple[list[int], list[int]]:
        """Returns token ids and, for each of `cuts`, the number of tokens before it.

        `cuts` are positions in `rendering.text`, in order. No token spans a cut: where the tokenizer would
        merge text before and after a cut, the text is encoded in two parts."""
        ids: list[int] = []
        starts: list[int] = []
        for piece in rendering.pieces():
            inner = [cut - piece.start for cut in cuts]
            if piece.is_supplied:
                piece_ids, offsets = self._encode_supplied(piece.text)
            else:
                piece_ids, offsets = self._encode_parts(piece.text, inner, is_first=piece.start == 0)
            ids += piece_ids
            starts += [piece.start + start for start, _ in offsets]
        return ids, [bisect_left(starts, cut) for cut in cuts]

    def _encode_parts(self, text: str, cuts: Sequence[int], *, is_first: bool) -> _Encoded:
        ids, offsets = self._encode_part(self._tokenizer, text, is_first=is_first)
        crossed = next((cut for cut in cuts if any(start < cut < end for start, end in offsets)), None)
        if crossed is None:
            return ids, offsets
        before = self._encode_parts(text[:crossed], cuts, is_first=is_first)
        after = self._encode_parts(text[crossed:], [cut - crossed for cut in cuts], is_first=False)
        return before[0] + after[0], before[1] + _shifted(after[1], crossed)

    def _encode_part(self, tokenizer: Any, text: str, *, is_first: bool) -> _Encoded:
        if not is_first:
            # SentencePiece puts a space before a text. Inside a conversation there is no space, so the text
            # is encoded after a line break, whose tokens are then removed.
            encoding = tokenizer.encode(_BEFORE + text, add_special_tokens=False)
            skipped = len(self._ids_before)
            if encoding.ids[:skipped] == self._ids_before:
                return encoding.ids[skipped:], _shifted(encoding.offsets[skipped:], -len(_BEFORE))
        encoding = tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def _encode_supplied(self, text: str) -> _Encoded:
        """Encodes the text of a control token as ordinary text."""
        token = self._control.ids[text]
        ids, offsets = self._encode_part(self._without_added_tokens, text, is_first=False)
        if token in ids:
            # Some vocabularies list control tokens among their words.
            letters = [self._encode_part(self._without_added_tokens, c, is_first=False)[0] for c in text]
            ids = [id_ for some in letters for id_ in some]
            offsets = [(at, at + 1) for at, some in enumerate(letters) for _ in some]
        if token in ids:
            raise InvalidRequest(
                f"The text contains {text!r}, a control token that this model's tokenizer cannot write as "
                "ordinary text. Remove it.",
                param="messages",
            )
        return ids, offsets

    @cached_property
    def _without_added_tokens(self) -> Any:
        return _copy(self._backend, added_tokens=[])


def _copy(backend: Any, **changes: Any) -> Any:
    """Copies a tokenizer backend without post-processing, padding and truncation. A rendering already has all
    the special tokens it needs, and post-processors may report offsets without a token's white space. Padding
    and truncation belong to the caller."""
    described = json.loads(backend.to_str())
    own = {"post_processor": None, "padding": None, "truncation": None}
    return Tokenizer.from_str(json.dumps({**described, **own, **changes}))


def _shifted(offsets: Sequence[tuple[int, int]], by: int) -> list[tuple[int, int]]:
    return [(start + by, end + by) for start, end in offsets]
