"""Runs an engine of any backend for synchronous tests."""

import asyncio
import itertools
import os
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    Prompt,
    PromptEvent,
    ReasoningEvent,
    Sampling,
    TextEvent,
    TextPrompt,
    TokenLogprob,
    ToolCallEvent,
)
from cluster.contracts.weights import WeightsRef
from cluster.serving.engine import Engine
from cluster.serving.residency.pool import EnginePool

TIMEOUT_SECONDS = float(os.environ.get("TUNERY_TEST_TIMEOUT_SECONDS", "300"))
"""Limit for everything that a test waits for, including the start of an engine."""

T = TypeVar("T")
_numbers = itertools.count()


@dataclass
class Answer:
    """The combined events of one request."""

    prompt: PromptEvent | None = None
    texts: dict[int, str] = field(default_factory=dict)
    reasoning: dict[int, str] = field(default_factory=dict)
    tokens: dict[int, list[TokenLogprob]] = field(default_factory=dict)
    calls: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """Names and arguments, by choice."""
    finishes: dict[int, FinishEvent] = field(default_factory=dict)

    def add(self, event: GenerationEvent) -> None:
        match event:
            case PromptEvent():
                assert self.prompt is None
                assert not self.texts
                self.prompt = event
            case ReasoningEvent():
                assert event.index not in self.finishes
                self.reasoning[event.index] = self.reasoning.get(event.index, "") + event.text
            case TextEvent():
                assert self.prompt is not None
                assert event.index not in self.finishes
                self.texts[event.index] = self.texts.get(event.index, "") + event.text
                self.tokens.setdefault(event.index, []).extend(event.tokens)
            case ToolCallEvent():
                assert event.index not in self.finishes
                calls = self.calls.setdefault(event.index, [])
                if event.name:
                    assert (event.call, event.arguments) == (len(calls), "")
                    calls.append((event.name, ""))
                else:
                    assert event.call == len(calls) - 1
                    calls[-1] = calls[-1][0], calls[-1][1] + event.arguments
                self.tokens.setdefault(event.index, []).extend(event.tokens)
            case FinishEvent():
                assert event.index not in self.finishes
                self.finishes[event.index] = event

    @property
    def text(self) -> str:
        return self.texts.get(0, "")

    @property
    def token_ids(self) -> list[int]:
        return [token.token_id for token in self.tokens.get(0, [])]

    @property
    def logprobs(self) -> list[float | None]:
        return [token.logprob for token in self.tokens.get(0, [])]


class LoopThread:
    """An event loop in a separate thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_seconds: float = TIMEOUT_SECONDS) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_seconds)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Served:
    """An engine and its event loop."""

    def __init__(self, loop: LoopThread, engine: Engine | EnginePool, base: BaseSpec) -> None:
        self.loop = loop
        self.engine = engine
        self.base = base

    def request(
        self, adapter: WeightsRef | None = None, prompt: Prompt | str = "The quick brown", **sampling: Any
    ) -> GenerationRequest:
        """A greedy request for 12 tokens, unless `sampling` says otherwise."""
        return GenerationRequest(
            id=f"request-{next(_numbers)}",
            model=ModelRef(base=self.base, adapter=adapter),
            prompt=TextPrompt(text=prompt) if isinstance(prompt, str) else prompt,
            sampling=Sampling(**{"temperature": 0, "max_tokens": 12, **sampling}),
            tenant="a",
        )

    async def answer(self, request: GenerationRequest) -> Answer:
        answer = Answer()
        async for event in self.engine.generate(request):
            answer.add(event)
        return answer

    def ask(self, request: GenerationRequest) -> Answer:
        return self.loop.run(self.answer(request))

    def ask_together(self, requests: list[GenerationRequest]) -> list[Answer | TuneryError]:
        async def together() -> list[Any]:
            return await asyncio.gather(*map(self.answer, requests), return_exceptions=True)

        return self.loop.run(together())
