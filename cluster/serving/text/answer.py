"""Converts the tokens of one choice to events, for every backend."""

from typing import Any, Literal

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.generation import (
    FinishEvent,
    ReasoningEvent,
    Sampling,
    TextEvent,
    TokenLogprob,
    ToolCallEvent,
)
from cluster.serving.text.ending import ending
from cluster.serving.text.guidance import Guide
from cluster.serving.text.logprobs import Scored
from cluster.serving.text.reasoning import ReasoningStart
from cluster.serving.text.reasoning_stream import ReasoningStream
from cluster.serving.text.stream import Piece, TextStream
from cluster.serving.text.tool_calls import CallArguments, CallBegun, CallReader, Content, ExpectedCalls, Part

Event = ReasoningEvent | TextEvent | ToolCallEvent | FinishEvent


class ChoiceAnswer:
    """The answer of one choice so far. It finishes at a stop token, at a stop string, where its grammar
    allows nothing more, and after its call if only one is allowed. It does not finish before its
    `min_tokens`, unless it follows a grammar."""

    def __init__(
        self,
        sampling: Sampling,
        index: int,
        *,
        vocabulary: Vocabulary,
        stop_tokens: frozenset[int],
        guide: Guide | None = None,
        calls: ExpectedCalls | None = None,
        reasoning: ReasoningStart | None = None,
    ) -> None:
        """`stop_tokens` are the model's own. `guide` must not be shared with other choices. Without
        `reasoning`, all text belongs to the answer."""
        self.guide = guide
        self.num_tokens = 0
        self.is_finished = False
        self._index = index
        self._vocabulary = vocabulary
        self._ending = ending(sampling, stop_tokens, has_grammar=guide is not None)
        self._text = TextStream(sampling.stop)
        self._calls = None if calls is None else CallReader(calls)
        self._marks = frozenset() if calls is None else calls.form.marks
        self._reasoning = None if reasoning is None else ReasoningStream(reasoning)

    @property
    def forbidden(self) -> frozenset[int]:
        """The tokens that must not come next, because the answer would end too early."""
        return self._ending.tokens if self.num_tokens < self._ending.min_tokens else frozenset()

    def accept(self, token: int, scored: Scored | None = None) -> list[Event]:
        """Returns the events of the next token. `scored` is given if log-probabilities were requested.

        Raises InvalidRequest if the engine stopped where the grammar does not allow the text to end."""
        self.num_tokens += 1
        shown = self._vocabulary.logprob(*scored) if scored is not None else None
        if token in self._ending.tokens:
            is_own = token in self._ending.own_tokens
            if is_own and self.guide is not None and not self.guide.may_end:
                raise self.guide.failure()
            return self.end("stop", shown)
        raw, tokens = self._bytes(token), [] if shown is None else [shown]
        before: list[Event] = []
        if self._reasoning is not None:
            thought, raw, tokens = self._reasoning.push(raw, tokens)
            before = self._reasoned(thought)
        piece = self._text.push(raw, *tokens, may_stop=self.num_tokens > self._ending.min_tokens)
        if piece.is_stopped:
            return [*before, *self._events(piece, is_last=True), self._finished("stop")]
        if self.guide is not None:
            self.guide.accept(token)
        events = before if before and not raw else [*before, *self._events(piece)]
        if (self._calls is not None and self._calls.is_done) or (
            self.guide is not None and self.guide.must_end
        ):
            events += self.end("stop")
        return events

    def end(self, reason: Literal["stop", "length"], end_token: TokenLogprob | None = None) -> list[Event]:
        """Returns the events of the remaining text and of the end. No tokens may follow. `end_token` is the
        stop token, if log-probabilities were requested."""
        before: list[Event] = []
        rest = Piece("", [])
        if self._reasoning is not None:
            thought, raw, tokens = self._reasoning.finish()
            before = self._reasoned(thought)
            rest = self._text.push(raw, *tokens)
        if not rest.is_stopped:
            last = self._text.finish()
            rest = Piece(rest.text + last.text, rest.tokens + last.tokens, last.is_stopped)
        is_cut = reason == "length" and not rest.is_stopped
        events = self._events(rest, is_last=True, is_cut=is_cut)
        # Every token has an event. The end has one only if there is text or a token left.
        if len(events) == 1 and isinstance(events[0], TextEvent) and not rest.tokens and not events[0].text:
            events = []
        return [*before, *events, self._finished("stop" if rest.is_stopped else reason, end_token)]

    def _bytes(self, token: int) -> bytes:
        if token in self._marks or (self._reasoning is not None and token in self._reasoning.marks):
            return self._vocabulary.token_bytes(token)
        return self._vocabulary.text_bytes(token)

    def _events(self, piece: Piece, *, is_last: bool = False, is_cut: bool = False) -> list[Event]:
        """Returns at least one event; the first one has all of the piece's tokens."""
        parts: list[Part] = [Content(piece.text)]
        if self._calls is not None:
            parts = self._calls.push(piece.text, is_last=is_last, is_cut=is_cut) or [Content("")]
        return [self._event(part, [] if place else piece.tokens) for place, part in enumerate(parts)]

    def _reasoned(self, piece: Piece | None) -> list[Event]:
        if piece is None:
            return []
        return [
            ReasoningEvent(
                index=self._index,
                text=piece.text,
                completion_tokens=self.num_tokens,
                tokens=piece.tokens,
            )
        ]

    def _event(self, part: Part, tokens: list[TokenLogprob]) -> Event:
        common: dict[str, Any] = {
            "index": self._index,
            "completion_tokens": self.num_tokens,
            "tokens": tokens,
        }
        match part:
            case Content(text=text):
                return TextEvent(text=text, **common)
            case CallBegun(call=call, name=name):
                return ToolCallEvent(call=call, name=name, **common)
            case CallArguments(call=call, text=text):
                return ToolCallEvent(call=call, arguments=text, **common)

    def _finished(
        self, reason: Literal["stop", "length"], end_token: TokenLogprob | None = None
    ) -> FinishEvent:
        self.is_finished = True
        has_called = reason == "stop" and self._calls is not None and self._calls.num_calls > 0
        return FinishEvent(
            index=self._index,
            reason="tool_calls" if has_called else reason,
            completion_tokens=self.num_tokens,
            end_token=end_token,
        )
