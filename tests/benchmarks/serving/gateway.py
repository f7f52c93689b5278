"""Measures what HTTP adds to a request. Also a command: `python -m tests.benchmarks.serving.gateway`.

Sends the same requests through `tunery up` (gateway and replica) and directly to an engine in this process.
The added time per request is measured with the built-in model, whose tokens take the least time. The share of
the tokens per second that 32 streams keep over HTTP is reported for the benchmark's model and the built-in
one. The latter is the worst case: its forward pass takes 2 ms, less than that of any model worth serving.
"""

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from cluster.bases.catalogue import PACKAGED_CATALOGUE, load_catalogue
from cluster.contracts.bases import BaseSpec
from cluster.contracts.generation import GenerationRequest, ModelRef, Sampling, TokenPrompt
from cluster.serving.embedded.engine import EmbeddedEngine
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.limits import EngineLimits
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.benchmarks.serving.children import run_child
from tests.benchmarks.serving.prepare import base_of, prepare
from tests.benchmarks.serving.task import MEDIUM, Task
from tests.e2e.server import BASE, Tunery, running

_PROMPT = [5, 6, 7, 8]
_NEVER_ENDS = {1: -100.0}
"""A bias against the end of text, so that every answer has `max_tokens` tokens."""
_TOKENS = 64
_STREAMS = 32
_COUNTED = 10
"""Requests in a round, both of one token and of many."""

Send = Callable[[int], Awaitable[None]]
"""Requests this many tokens and reads the stream to its end."""


def gateway(task: Task, *, rounds: int = 6) -> dict[str, float]:
    """Measures both ways in turn, so that other load on the machine affects both. Skips the first round."""
    with tempfile.TemporaryDirectory() as name:
        catalogue = Path(name) / "catalogue.toml"
        catalogue.write_text(PACKAGED_CATALOGUE.read_text() + _entry(base_of(task)))
        with running(Path(name) / "tunery", TUNERY_CATALOGUE=str(catalogue)) as tunery:
            return asyncio.run(_compare(tunery, Path(name), base_of(task), rounds))


def _entry(base: BaseSpec) -> str:
    assert base.source.kind == "folder"
    return (
        f'\n[[model]]\nalias = "{base.alias}"\ncontext_length = {base.context_length}\n'
        f'source = {{ kind = "folder", path = "{base.source.path}" }}\nlearning_rates = {{ lora = 1e-3 }}\n'
    )


async def _compare(tunery: Tunery, folder: Path, larger: BaseSpec, rounds: int) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(_client(tunery))
        pairs = []
        for base in (load_catalogue()[BASE], larger):
            direct = await stack.enter_async_context(_direct(base, folder))
            pairs.append({direct: _Times(), _over_http(http, base.alias): _Times()})
        small, large = pairs
        for round_ in range(rounds + 1):
            for send, times in small.items():
                await times.add_each(send)
            for send, times in [*small.items(), *large.items()]:
                await times.add_together(send)
            if round_ == 0:
                for times in [*small.values(), *large.values()]:
                    times.clear()
    alone, over_http = small.values()
    return {
        "gateway_ms_p50": _added_ms(alone.one, over_http.one),
        f"gateway_ms_p50_of_{_TOKENS}": _added_ms(alone.many, over_http.many),
        "http_tokens_share": _share(*large.values()),
        "http_tokens_share_of_tiny": _share(*small.values()),
    }


@dataclass
class _Times:
    """Seconds: of requests for one token, of requests for many, and of rounds of streams at once."""

    one: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    async def add_each(self, send: Send) -> None:
        for tokens, times in ((1, self.one), (_TOKENS, self.many)):
            times += [await _seconds(send(tokens)) for _ in range(_COUNTED)]

    async def add_together(self, send: Send) -> None:
        self.together.append(await _seconds(asyncio.gather(*(send(_TOKENS) for _ in range(_STREAMS)))))

    def clear(self) -> None:
        for times in (self.one, self.many, self.together):
            times.clear()


async def _seconds(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _added_ms(alone: list[float], http: list[float]) -> float:
    return round((statistics.median(http) - statistics.median(alone)) * 1000, 2)


def _share(alone: _Times, http: _Times) -> float:
    return round(statistics.median(alone.together) / statistics.median(http.together), 3)


@asynccontextmanager
async def _direct(base: BaseSpec, folder: Path) -> AsyncIterator[Send]:
    weights = WeightsFolder(folder / "cache", LocalStore(folder / "objects"))
    engine: EmbeddedEngine = await EmbeddedLoader(weights, EngineLimits())(ModelRef(base=base))
    numbers = itertools.count()

    async def send(tokens: int) -> None:
        request = GenerationRequest(
            id=f"direct-{next(numbers)}",
            model=ModelRef(base=base),
            prompt=TokenPrompt(token_ids=_PROMPT),
            sampling=Sampling(max_tokens=tokens, temperature=0, logit_bias=_NEVER_ENDS),
        )
        async for _ in engine.generate(request):
            pass

    try:
        yield send
    finally:
        await engine.close()


def _client(tunery: Tunery) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=tunery.url,
        headers={"authorization": f"Bearer {tunery.key}"},
        limits=httpx2.Limits(max_keepalive_connections=_STREAMS),
        timeout=300,
        trust_env=False,
    )


def _over_http(http: httpx2.AsyncClient, model: str) -> Send:
    async def send(tokens: int) -> None:
        body = {
            "model": model,
            "prompt": _PROMPT,
            "max_tokens": tokens,
            "temperature": 0,
            "logit_bias": _NEVER_ENDS,
            "stream": True,
        }
        async with http.stream("POST", "/v1/completions", json=body) as response:
            response.raise_for_status()
            content = await response.aread()
        assert content.endswith(b"data: [DONE]\n\n"), content[-200:]

    return send


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-http-") as name:
        task = Task(folder=name, vocab=MEDIUM.vocab, context=1024, n_adapters=1)
        prepare(task, MEDIUM)
        # In a process with the environment that the engine is meant to run in.
        print(json.dumps(run_child("gateway", task)))
