"""From the tokens of one choice to its events, whichever engine generates them."""

from typing import Literal

from cluster.contracts.generation import FinishEvent, Sampling, TextEvent
from cluster.serving.guidance import Guide
from cluster.serving.logprobs import Scored
from cluster.serving.text import Piece, TextStream
from cluster.serving.vocabulary import Vocabulary

Event = TextEvent | FinishEvent


class ChoiceAnswer:
    """What one choice has said. It ends by itself at a stop token, at a stop string, and where its grammar
    lets nothing follow."""

    def __init__(
        self,
        sampling: Sampling,
        index: int,
        *,
        vocabulary: Vocabulary,
        stop_tokens: frozenset[int],
        guide: Guide | None = None,
    ) -> None:
        """`guide` is this choice's own."""
        self.guide = guide
        self.num_tokens = 0
        self.is_finished = False
        self._index = index
        self._vocabulary = vocabulary
        self._stop_tokens = stop_tokens
        self._text = TextStream(sampling.stop)

    def accept(self, token: int, scored: Scored | None = None) -> list[Event]:
        """The events of the next token; `scored` if its log-probability was asked for."""
        self.num_tokens += 1
        if token in self._stop_tokens:
            return self.end("stop")
        shown = self._vocabulary.logprob(scored) if scored is not None else None
        piece = self._text.push(self._vocabulary.text_bytes(token), shown)
        if piece.is_stopped:
            return [self._said(piece), self._finished("stop")]
        if self.guide is not None:
            self.guide.accept(token)
            if self.guide.must_end:
                return [self._said(piece), *self.end("stop")]
        return [self._said(piece)]

    def end(self, reason: Literal["stop", "length"]) -> list[Event]:
        """No token comes any more: the rest of the text, and the end."""
        rest = self._text.finish()
        said = [self._said(rest)] if rest.text or rest.tokens else []
        return [*said, self._finished("stop" if rest.is_stopped else reason)]

    def _said(self, piece: Piece) -> TextEvent:
        return TextEvent(
            index=self._index, text=piece.text, completion_tokens=self.num_tokens, tokens=piece.tokens
        )

    def _finished(self, reason: Literal["stop", "length"]) -> FinishEvent:
        self.is_finished = True
        return FinishEvent(index=self._index, reason=reason, completion_tokens=self.num_tokens)
