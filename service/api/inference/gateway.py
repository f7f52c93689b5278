"""Answers generation requests over HTTP, whole or streamed, for as long as the client stays connected."""

import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import GenerationEvent, GenerationRequest, PromptEvent
from service.api.http.connection import while_connected
from service.api.http.errors import body_of
from service.api.inference.engine import Generator
from service.api.inference.fanout import generate_all
from service.api.inference.sse import DONE, EventStream, frame
from service.api.schemas.base import ApiError, ErrorAnswer
from service.api.schemas.response_events import ResponseEvent

log = logging.getLogger(__name__)

_GRACE_SECONDS = 1.0
"""Long enough for an engine to refuse requests that it does not queue; bounds the events held back
meanwhile."""

Events = AsyncGenerator[tuple[int, GenerationEvent]]


class Answer(Protocol):
    """Turns events into OpenAI's objects."""

    def add(self, prompt: int, event: GenerationEvent) -> Sequence[BaseModel]:
        """Processes an event, and returns the chunks that a stream sends for it."""
        ...

    def whole(self) -> BaseModel: ...

    def last_chunks(self) -> Sequence[BaseModel]:
        """Returns what a stream sends after its last event."""
        ...

    def failure(self, error: ApiError) -> Sequence[BaseModel]:
        """Returns what a stream sends in place of everything that would follow."""
        ...


@dataclass(frozen=True)
class StreamFormat:
    """How the chunks of an answer become server-sent events."""

    frame: Callable[[BaseModel], bytes]
    end: bytes
    """Sent after the last chunk, unless that is a failure."""


CHUNKS = StreamFormat(lambda chunk: frame(chunk.model_dump_json(exclude_unset=True)), DONE)
"""OpenAI's older form: data without a name, and [DONE]."""


def _named(event: BaseModel) -> bytes:
    assert isinstance(event, ResponseEvent)
    return frame(event.model_dump_json(), name=event.type)


EVENTS = StreamFormat(_named, b"")
"""OpenAI's newer form: each event is named by its type, and the last one is a lifecycle event."""


async def answer_whole(
    request: Request, engine: Generator, engine_requests: Sequence[GenerationRequest], answer: Answer
) -> Response:
    """Answers with one JSON object. Raises what the engine raises."""

    async def collect() -> str:
        async with aclosing(generate_all(engine, engine_requests)) as events:
            async for prompt, event in events:
                answer.add(prompt, event)
        return answer.whole().model_dump_json()

    return await answer_once(request, collect())


async def answer_once(request: Request, work: Coroutine[Any, Any, str]) -> Response:
    """Answers with the JSON that `work` returns. Cancels `work` if the client disconnects; raises what it
    raises."""
    return Response(await while_connected(request, work), media_type="application/json")


async def answer_streamed(
    request: Request,
    engine: Generator,
    engine_requests: Sequence[GenerationRequest],
    answer: Answer,
    stream_format: StreamFormat = CHUNKS,
    *,
    grace_seconds: float = _GRACE_SECONDS,
) -> Response:
    """Answers with a stream. It starts when every prompt has been accepted, so that a refusal can still be
    raised and become a status. If some prompts are being answered while others still queue, it starts with
    the first event after `grace_seconds`, and a later refusal becomes an event."""
    events = generate_all(engine, engine_requests)
    accepted: deque[tuple[int, GenerationEvent]] = deque()

    async def accept() -> None:
        waiting, until = len(engine_requests), math.inf
        while waiting and time.monotonic() < until:
            accepted.append(await anext(events))
            if isinstance(accepted[-1][1], PromptEvent):
                waiting -= 1
            else:
                until = min(until, time.monotonic() + grace_seconds)

    try:
        await while_connected(request, accept())
    except BaseException:
        await events.aclose()
        raise
    return EventStream(_frames(accepted, events, answer, stream_format))


async def _frames(
    accepted: deque[tuple[int, GenerationEvent]], events: Events, answer: Answer, stream_format: StreamFormat
) -> AsyncGenerator[bytes]:
    """Yields the frames of `accepted` and then of `events`. Empties `accepted`, whose log-probabilities may
    take megabytes."""
    async with aclosing(events):
        try:
            while accepted:
                prompt, event = accepted.popleft()
                for chunk in answer.add(prompt, event):
                    yield stream_format.frame(chunk)
            async for prompt, event in events:
                for chunk in answer.add(prompt, event):
                    yield stream_format.frame(chunk)
        except Exception as error:
            # The status has already been sent. All that remains is an event, which OpenAI's SDKs raise as an
            # error.
            if not isinstance(error, TuneryError):
                log.exception("stream failed")
            for chunk in answer.failure(ErrorAnswer.model_validate(body_of(error)).error):
                yield stream_format.frame(chunk)
            return
        for chunk in answer.last_chunks():
            yield stream_format.frame(chunk)
        yield stream_format.end
