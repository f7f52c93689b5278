"""When streams of several prompts start."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from cluster.contracts.errors import Overloaded
from cluster.contracts.generation import GenerationEvent, GenerationRequest, ModelRef, TextPrompt
from service.api.inference.answers.completions import CompletionAnswer
from service.api.inference.answers.response_meta import ResponseMeta
from service.api.inference.gateway import answer_streamed
from service.api.inference.sse import EventStream
from tests.api import BASE
from tests.fakes import FakeEngine

pytestmark = pytest.mark.anyio

FIRST, SECOND = (
    GenerationRequest(id=id, model=ModelRef(base=BASE), prompt=TextPrompt(text="x")) for id in "12"
)


@dataclass
class _Queueing:
    """Answers the first prompt, and refuses the second one later."""

    refuse: asyncio.Event

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        if request is SECOND:
            await self.refuse.wait()
            raise Overloaded("busy")
        async for event in FakeEngine().generate(request):
            yield event


async def _connected() -> MutableMapping[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def _streamed(engine: _Queueing, grace_seconds: float) -> Response:
    answer = CompletionAnswer(
        ResponseMeta("cmpl-1", 0, "m", "fp_1"),
        num_prompts=2,
        n=1,
        wants_logprobs=False,
        wants_usage_chunk=False,
        is_streamed=True,
    )
    request = Request({"type": "http"}, _connected)
    return await answer_streamed(request, engine, [FIRST, SECOND], answer, grace_seconds=grace_seconds)


async def test_text_is_sent_while_other_prompts_queue_and_a_later_refusal_is_an_event() -> None:
    engine = _Queueing(asyncio.Event())
    stream = await asyncio.wait_for(_streamed(engine, grace_seconds=0), 60)
    assert isinstance(stream, EventStream)
    frames: Any = stream.body_iterator
    assert [b'"text":"' in await anext(frames) for _ in range(4)] == [True] * 4
    engine.refuse.set()
    (last,) = [frame async for frame in frames]
    assert b"busy" in last


async def test_a_refusal_soon_after_the_first_text_is_raised() -> None:
    engine = _Queueing(asyncio.Event())
    asyncio.get_running_loop().call_later(0.05, engine.refuse.set)
    with pytest.raises(Overloaded):
        await _streamed(engine, grace_seconds=60)
