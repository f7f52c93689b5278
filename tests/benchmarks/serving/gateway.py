"""What HTTP adds: the built-in model asked through `tunery up` (gateway, proxy, replica), and the same engine
asked in this process. Also a command by itself: `python -m tests.benchmarks.serving.gateway`."""

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.generation import GenerationRequest, ModelRef, Sampling, TextPrompt
from cluster.serving.embedded.engine import EmbeddedEngine
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.limits import Limits
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.benchmarks.serving.children import run_child
from tests.benchmarks.serving.task import Task
from tests.e2e.server import BASE, Tunery, running

_PROMPT = "Once there was a"
_NEVER_ENDS = {1: -100.0}
"""A bias against the end of text: every answer is as long as was asked for."""
_TOKENS = 64
_STREAMS = 32
_COUNTED = 10
"""Requests in a round, of one token and of many each."""

Ask = Callable[[int], Awaitable[None]]
"""Asks for so many tokens and reads the answer's stream to its end."""


def gateway(*, rounds: int = 6) -> dict[str, float]:
    """Both ways take turns, so that what else the machine does meets both; a first round is not counted."""
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "tunery") as tunery:
        return asyncio.run(_compared(tunery, Path(name), rounds))


async def _compared(tunery: Tunery, folder: Path, rounds: int) -> dict[str, float]:
    async with _direct(folder) as direct, _through(tunery) as through:
        for ask in (direct, through):
            await _Taken().add(ask)
        taken = {direct: _Taken(), through: _Taken()}
        for _ in range(rounds):
            for ask, sofar in taken.items():
                await sofar.add(ask)
    alone, http = taken.values()
    return {
        "gateway_ms_p50": _added_ms(alone.one, http.one),
        f"gateway_ms_p50_of_{_TOKENS}": _added_ms(alone.many, http.many),
        "http_tokens_share": round(statistics.median(alone.together) / statistics.median(http.together), 3),
    }


@dataclass
class _Taken:
    """Seconds."""

    one: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    async def add(self, ask: Ask) -> None:
        for tokens, taken in ((1, self.one), (_TOKENS, self.many)):
            taken += [await _seconds(ask(tokens)) for _ in range(_COUNTED)]
        self.together.append(await _seconds(asyncio.gather(*(ask(_TOKENS) for _ in range(_STREAMS)))))


async def _seconds(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _added_ms(alone: list[float], http: list[float]) -> float:
    return round((statistics.median(http) - statistics.median(alone)) * 1000, 2)


@asynccontextmanager
async def _direct(folder: Path) -> AsyncIterator[Ask]:
    weights = WeightsFolder(folder / "cache", LocalStore(folder / "objects"))
    model = ModelRef(base=load_catalogue()[BASE])
    engine: EmbeddedEngine = await EmbeddedLoader(weights, Limits())(model)
    numbers = itertools.count()

    async def ask(tokens: int) -> None:
        request = GenerationRequest(
            id=f"direct-{next(numbers)}",
            model=model,
            prompt=TextPrompt(text=_PROMPT),
            sampling=Sampling(max_tokens=tokens, temperature=0, logit_bias=_NEVER_ENDS),
        )
        async for _ in engine.generate(request):
            pass

    try:
        yield ask
    finally:
        await engine.close()


@asynccontextmanager
async def _through(tunery: Tunery) -> AsyncIterator[Ask]:
    async with httpx2.AsyncClient(
        base_url=tunery.url,
        headers={"authorization": f"Bearer {tunery.key}"},
        limits=httpx2.Limits(max_keepalive_connections=_STREAMS),
        timeout=300,
        trust_env=False,
    ) as http:

        async def ask(tokens: int) -> None:
            body = {
                "model": BASE,
                "prompt": _PROMPT,
                "max_tokens": tokens,
                "temperature": 0,
                "logit_bias": _NEVER_ENDS,
                "stream": True,
            }
            async with http.stream("POST", "/v1/completions", json=body) as answer:
                answer.raise_for_status()
                content = await answer.aread()
            assert content.endswith(b"data: [DONE]\n\n"), content[-200:]

        yield ask


if __name__ == "__main__":
    # In a process that the engine's settings were made for.
    print(json.dumps(run_child("gateway", Task(folder="", vocab=0, context=0))))
