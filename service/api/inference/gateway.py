"""Answers generation requests over HTTP, whole or streamed, for as long as the client stays connected."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import GenerationEvent, GenerationRequest, PromptEvent
from service.api.http.errors import body_of
from service.api.inference.engine import Generator
from service.api.inference.fanout import generate_all
from service.api.inference.sse import DONE, EventStream, frame

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Events = AsyncGenerator[tuple[int, GenerationEvent]]


class Answer(Protocol):
    """Turns events into OpenAI's objects."""

    def add(self, prompt: int, event: GenerationEvent) -> Sequence[BaseModel]:
        """Processes an event, and returns the chunks that a stream sends for it."""
        ...

    def whole(self) -> BaseModel: ...

    def usage_chunk(self) -> BaseModel: ...


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
    content = await _while_connected(request.receive, work)
    return _gone() if content is None else Response(content, media_type="application/json")


async def answer_streamed(
    request: Request,
    engine: Generator,
    engine_requests: Sequence[GenerationRequest],
    answer: Answer,
    *,
    wants_usage_chunk: bool,
) -> Response:
    """Answers with a stream. Starts only when every prompt has been accepted, so that a refusal can still be
    raised and become a status."""
    events = generate_all(engine, engine_requests)
    accepted: list[tuple[int, GenerationEvent]] = []

    async def accept() -> bool:
        waiting = len(engine_requests)
        while waiting:
            accepted.append(await anext(events))
            waiting -= isinstance(accepted[-1][1], PromptEvent)
        return True

    try:
        if await _while_connected(request.receive, accept()):
            return EventStream(_frames(accepted, events, answer, wants_usage_chunk))
    except BaseException:
        await events.aclose()
        raise
    return _gone()


async def _frames(
    accepted: list[tuple[int, GenerationEvent]], events: Events, answer: Answer, wants_usage_chunk: bool
) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        try:
            for prompt, event in accepted:
                for chunk in answer.add(prompt, event):
                    yield frame(chunk.model_dump_json(exclude_unset=True))
            async for prompt, event in events:
                for chunk in answer.add(prompt, event):
                    yield frame(chunk.model_dump_json(exclude_unset=True))
        except Exception as error:
            # The status has been sent. What is left is an event, which OpenAI's SDKs raise as an error.
            if not isinstance(error, TuneryError):
                log.exception("stream failed")
            yield frame(orjson.dumps(body_of(error)))
            return
        if wants_usage_chunk:
            yield frame(answer.usage_chunk().model_dump_json(exclude_unset=True))
        yield DONE


def _gone() -> Response:
    return Response(status_code=499)  # nginx's status for a client that disconnected; nobody reads it


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Runs `work` and returns its result. If the client disconnects first, cancels it and returns None."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
