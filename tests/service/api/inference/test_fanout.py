"""Events of several requests in one stream."""

import asyncio
from contextlib import aclosing

import pytest

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import GenerationRequest, ModelRef, TextPrompt
from service.api.inference.fanout import generate_all
from tests.api import BASE
from tests.fakes import FakeEngine

pytestmark = pytest.mark.anyio

REQUEST = GenerationRequest(id="r", model=ModelRef(base=BASE), prompt=TextPrompt(text="x"))


async def test_a_reader_that_stops_reading_loses_its_place_at_the_engine() -> None:
    engine = FakeEngine(pieces=["x"] * 1000)

    async with aclosing(generate_all(engine, [REQUEST], stall_seconds=0.01)) as events:
        await anext(events)
        assert await asyncio.to_thread(engine.was_cancelled.wait, 10)
        with pytest.raises(InvalidRequest, match="the client has read nothing") as slow:
            async for _ in events:
                pass
        assert slow.value.code == "reader_too_slow"


async def test_a_slow_reader_that_keeps_reading_gets_everything() -> None:
    engine = FakeEngine(pieces=["x"] * 1000)
    async with aclosing(generate_all(engine, [REQUEST, REQUEST], stall_seconds=30)) as events:
        indices = [index async for index, _ in events]
    assert (indices.count(0), indices.count(1)) == (1002, 1002)
