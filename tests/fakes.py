"""Fakes at the ports, shared by all tests."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from cluster.contracts.errors import TuneryError, Unavailable
from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    PromptEvent,
    TextEvent,
    TextPrompt,
    TokenLogprob,
    TokenPrompt,
)


def token(text: str, logprob: float | None = -0.5, *, top: int = 0) -> TokenLogprob:
    others = [
        TokenLogprob(token=f"<{rank}>", bytes=[60, 48 + rank, 62], token_id=rank, logprob=-1.0 - rank)
        for rank in range(top)
    ]
    return TokenLogprob(
        token=text, bytes=list(text.encode()), token_id=len(text), logprob=logprob, top=others
    )


@dataclass
class FakeEngine:
    """The gateway's Engine: answers every choice with `pieces`, one token each."""

    pieces: list[str] = field(default_factory=lambda: ["Hel", "lo", " wörld"])
    refusal: TuneryError | None = None
    """Raised instead of the first event."""
    fault: Exception | None = None
    """Raised in the place of the last piece."""
    stalls: bool = False
    """Never goes on after the last piece: only a cancelled request ends."""
    is_healthy: bool = True
    asked: list[GenerationRequest] = field(default_factory=list)
    was_cancelled: threading.Event = field(default_factory=threading.Event)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        self.asked.append(request)
        try:
            if self.refusal is not None:
                raise self.refusal
            yield self._prompt(request)
            for index in range(request.sampling.n):
                num_tokens = 0 if request.sampling.max_tokens == 0 else len(self.pieces)
                for piece in self.pieces[:num_tokens]:
                    if self.fault is not None and piece is self.pieces[-1]:
                        raise self.fault
                    yield self._text(request, index, piece)
                if self.stalls:
                    await asyncio.Event().wait()
                reason = "stop" if num_tokens else "length"
                yield FinishEvent(index=index, reason=reason, completion_tokens=num_tokens)
        except (asyncio.CancelledError, GeneratorExit):
            self.was_cancelled.set()
            raise

    async def check_health(self) -> None:
        if not self.is_healthy:
            raise Unavailable("The model server does not answer.")

    async def close(self) -> None: ...

    def _prompt(self, request: GenerationRequest) -> PromptEvent:
        prompt, sampling = request.prompt, request.sampling
        words = prompt.text.split(" ") if isinstance(prompt, TextPrompt) else ["tokens"]
        count = len(prompt.token_ids) if isinstance(prompt, TokenPrompt) else len(words)
        if not sampling.echo:
            return PromptEvent(prompt_tokens=count)
        parts = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
        tokens = [
            token(part, -0.5 if place else None, top=sampling.logprobs or 0)
            for place, part in enumerate(parts)
        ]
        return PromptEvent(
            prompt_tokens=count, text="".join(parts), tokens=[] if sampling.logprobs is None else tokens
        )

    def _text(self, request: GenerationRequest, index: int, piece: str) -> TextEvent:
        wanted = request.sampling.logprobs
        return TextEvent(index=index, text=piece, tokens=[] if wanted is None else [token(piece, top=wanted)])
