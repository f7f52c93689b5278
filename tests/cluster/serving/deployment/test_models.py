"""The models of one replica."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.contracts.generation import GenerationRequest, ModelRef, PromptEvent, TextPrompt
from cluster.serving.deployment import models
from cluster.serving.deployment.models import ReplicaModels
from tests.api import BASE

pytestmark = pytest.mark.anyio


async def test_the_chunks_of_a_stream_follow_how_many_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on, counts = asyncio.Event(), []

    async def generate(*_: Any, **named: Any) -> AsyncGenerator[PromptEvent, None]:
        yield PromptEvent(prompt_tokens=1)
        await may_go_on.wait()

    def chunk_seconds(streams: int) -> float:
        counts.append(streams)
        return 0.0

    monkeypatch.setattr(models, "chunk_seconds", chunk_seconds)
    replica: Any = object.__new__(ReplicaModels)
    replica._engines, replica._streams = SimpleNamespace(generate=generate), 0
    replica._load = SimpleNamespace(not_ready=models.not_ready)
    request = GenerationRequest(id="r", model=ModelRef(base=BASE), prompt=TextPrompt(text="x"))
    streams = [replica.generate(request, load_timeout_seconds=None) for _ in range(3)]
    for stream in streams:
        assert (await anext(stream)).num_tokens == 1
    assert counts == [1, 2, 3]
    await streams[0].aclose()
    may_go_on.set()
    assert [await anext(stream, None) for stream in streams[1:]] == [None, None]
    assert replica._streams == 0
