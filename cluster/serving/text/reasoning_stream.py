"""Separates a choice's reasoning from its answer, token by token."""

from collections.abc import Sequence

from cluster.contracts.generation import TokenLogprob
from cluster.serving.text.reasoning import ReasoningReader, ReasoningStart
from cluster.serving.text.stream import Piece, TextStream


class ReasoningStream:
    """The reasoning of one choice so far. Stop strings do not end it."""

    def __init__(self, start: ReasoningStart) -> None:
        self._reader = ReasoningReader(start)
        self._form_marks = start.form.marks
        self._text = TextStream([])
        self._undecided: list[TokenLogprob] = []
        """Tokens that belong to the answer if no reasoning follows."""

    @property
    def marks(self) -> frozenset[int]:
        """The special tokens that the reader needs to see."""
        return frozenset() if self._reader.state == "answer" else self._form_marks

    def push(
        self, raw: bytes, tokens: Sequence[TokenLogprob]
    ) -> tuple[Piece | None, bytes, list[TokenLogprob]]:
        """Adds the bytes of a token. Returns a piece of reasoning, unless the token belongs to the answer or
        is undecided, and the bytes and tokens of the answer."""
        if self._reader.state == "answer":
            return None, raw, [*tokens]
        thought, answer = self._reader.push(raw)
        return self._divided(thought, answer, tokens)

    def finish(self) -> tuple[Piece | None, bytes, list[TokenLogprob]]:
        """Returns what was held back, in the same form as `push`."""
        thought, answer = self._reader.finish()
        piece, answer, tokens = self._divided(thought, answer, [])
        rest = self._text.finish().text
        if piece is not None and (piece.text or piece.tokens or rest):
            return Piece(piece.text + rest, piece.tokens), answer, tokens
        return None, answer, tokens

    def _divided(
        self, thought: bytes, answer: bytes, new: Sequence[TokenLogprob]
    ) -> tuple[Piece | None, bytes, list[TokenLogprob]]:
        text = self._text.push(thought).text
        if self._reader.is_undecided:
            self._undecided += new
            return (Piece(text, []) if text else None), b"", []
        tokens, self._undecided = [*self._undecided, *new], []
        if answer:
            return (Piece(text, []) if text else None), answer, tokens
        return Piece(text, tokens), b"", []
