"""The engine for one caller: requests wait for their turn, and their tokens are counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response

from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    PromptEvent,
    ReasoningEvent,
    TextEvent,
    ToolCallEvent,
)
from service.api.http.errors import response_of
from service.api.http.strict_json import StrictJsonRoute
from service.api.inference.admission import AdmissionQueue
from service.api.inference.engine import Engine
from service.api.inference.expected_tokens import expected_tokens
from service.api.inference.fair_queue import GENERATED_TOKEN_COST, PROMPT_TOKEN_COST, Turn
from service.api.inference.prompt_length import check_prompt_length
from service.api.inference.rate_limits import Admission, RateLimiter
from service.api.inference.usage_meter import UsageMeter
from service.db.organization.api_keys import Principal
from service.db.usage.usage import Operation, UsageCounts
from service.metrics.api import ApiMetrics
from service.metrics.generation import GenerationTimer

EngineRequest = GenerationRequest | ClassificationRequest | EmbeddingRequest
_MOST_AT_ONCE = 128
"""Choices of one HTTP request that may be in progress at the same time, at most half of what the engine runs:
a request with thousands of prompts would otherwise take all slots, and all places in its project's queue."""
Texts = TypeVar("Texts", ClassificationRequest, EmbeddingRequest)
Encoded = TypeVar("Encoded", ClassificationAnswer, EmbeddingAnswer)


@dataclass(frozen=True)
class InferenceContext:
    """What all inference requests share."""

    engine: Engine
    admission: AdmissionQueue
    usage: UsageMeter
    limiter: RateLimiter
    metrics: ApiMetrics
    served_context: Callable[[str], int | None] = lambda alias: None
    """The same as `Availability.context`."""

    async def admit(
        self, http_request: Request, caller: Principal, model: str, requests: Sequence[EngineRequest]
    ) -> "MeteredEngine":
        """Counts one HTTP request against the caller's limits, and returns the engine for its `requests` to
        the model with this public name.

        Raises ContextLengthExceeded, RateLimited if a limit is reached, and Unavailable if the database does
        not answer."""
        base = requests[0].model.base.alias
        for request in requests:
            check_prompt_length(request, self.served_context(base))
        admission = await self.limiter.admit(caller, base, sum(map(expected_tokens, requests)))
        http_request.state.rate_limit_headers = admission.headers
        if admission.refusal is not None:
            raise admission.refusal
        return MeteredEngine(self, caller, model, admission, at_once=self._at_once(requests[0]))

    def _at_once(self, request: EngineRequest) -> int:
        """How many requests like this one may be under way for one HTTP request."""
        choices = request.sampling.n if isinstance(request, GenerationRequest) else 1
        return max(1, min(self.admission.max_running // 2, _MOST_AT_ONCE) // choices)


class InferenceRoute(StrictJsonRoute):
    """A route for inference requests. Pass it as `APIRouter(route_class=…)`.

    Answers, including errors, carry the caller's rate-limit headers.

    A request whose project has a full queue is rejected before its body is read: a flood can be rejected
    hundreds of times a second, and reading the bodies took a third of the CPU."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            context: InferenceContext = request.app.state.inference
            principal: Principal = request.state.principal
            context.admission.check_room(principal.tenant.project_id)
            try:
                response = await handler(request)
            except TuneryError as error:
                response = response_of(error)
            response.headers.update(getattr(request.state, "rate_limit_headers", {}))
            return response

        return handle


class MeteredEngine:
    """An engine whose requests wait in the admission queue and whose tokens are counted for one caller.

    Raises what the engine and `AdmissionQueue.turn` raise."""

    def __init__(
        self,
        context: InferenceContext,
        caller: Principal,
        model: str,
        admission: Admission,
        *,
        at_once: int = _MOST_AT_ONCE,
    ) -> None:
        """Generations beyond `at_once` wait until an earlier one has ended before they queue."""
        self._under_way = asyncio.Semaphore(at_once)
        self._num_new_places = at_once
        self._context = context
        self._admission = admission
        self._caller = caller
        self._model = model
        self._is_counted = False

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        meter = TokenMeter()
        try:
            async with (
                self._timed(request, meter) as timer,
                self._turn(request) as turn,
                aclosing(self._context.engine.generate(request)) as events,
            ):
                timer.note_turn()
                async for event in events:
                    self._context.admission.charge(turn, meter.add(event))
                    if timer.awaits_token and meter.completion_tokens:
                        timer.note_token()
                    if not _is_silent(event):
                        yield event
        finally:
            self._settle(request, meter.prompt_tokens, meter.completion_tokens)
            if meter.is_accepted:
                self._count("completions", meter.prompt_tokens, meter.completion_tokens)

    @asynccontextmanager
    async def _timed(self, request: GenerationRequest, meter: "TokenMeter") -> AsyncIterator[GenerationTimer]:
        async with self._under_way:
            timer = GenerationTimer(self._context.metrics, request.model.base.alias, request.sampling.n)
            try:
                yield timer
            except Exception as error:
                timer.note_failure(error)
                raise
            finally:
                timer.note_end(meter.prompt_tokens, meter.completion_tokens)

    def _turn(self, request: GenerationRequest) -> AbstractAsyncContextManager[Turn]:
        has_place = self._num_new_places == 0
        self._num_new_places -= not has_place
        return self._context.admission.turn(request.tenant, request.sampling.n, has_place=has_place)

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        return await self._encoded("classifications", self._context.engine.classify, request)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        return await self._encoded("embeddings", self._context.engine.embed, request)

    async def _encoded(
        self, operation: Operation, encode: Callable[[Texts], Awaitable[Encoded]], texts: Texts
    ) -> Encoded:
        used = 0
        try:
            # Only one place, however many inputs: they share forward passes and hold no slots.
            async with self._context.admission.turn(texts.tenant, 1) as turn:
                answer = await encode(texts)
                used = answer.prompt_tokens
                self._context.admission.charge(turn, used * PROMPT_TOKEN_COST)
                self._count(operation, used, 0)
                return answer
        finally:
            self._settle(texts, used, 0)

    def _settle(self, request: EngineRequest, prompt_tokens: int, completion_tokens: int) -> None:
        self._admission.settle(expected_tokens(request), prompt_tokens + completion_tokens)

    def _count(self, operation: Operation, prompt_tokens: int, completion_tokens: int) -> None:
        requests = 0 if self._is_counted else 1
        self._is_counted = True
        self._context.usage.add(
            self._caller, self._model, operation, UsageCounts(requests, prompt_tokens, completion_tokens)
        )


@dataclass
class TokenMeter:
    """Counts the tokens of one generation as its events arrive."""

    prompt_tokens: int = 0
    is_accepted: bool = False
    _generated: Counter[int] = field(default_factory=Counter)
    """Generated tokens by choice."""

    @property
    def completion_tokens(self) -> int:
        return self._generated.total()

    def add(self, event: GenerationEvent) -> float:
        """Counts the event, and returns what it adds to the tenant's cost."""
        match event:
            case PromptEvent():
                self.is_accepted = True
                self.prompt_tokens = event.prompt_tokens
                return event.prompt_tokens * PROMPT_TOKEN_COST
            case ReasoningEvent() | TextEvent() | ToolCallEvent() | FinishEvent():
                more = event.completion_tokens - self._generated[event.index]
                self._generated[event.index] = event.completion_tokens
                return more * GENERATED_TOKEN_COST


def _is_silent(event: GenerationEvent) -> bool:
    """Whether the event's token is held back entirely: it is counted, but there is nothing to send yet."""
    return isinstance(event, TextEvent | ReasoningEvent) and not event.text and not event.tokens


async def _context(request: Request) -> InferenceContext:
    context: InferenceContext = request.app.state.inference
    return context


UsesInference = Annotated[InferenceContext, Depends(_context)]
