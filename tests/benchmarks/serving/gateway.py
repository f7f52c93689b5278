"""What HTTP adds: models asked through `tunery up` (gateway and replica), and the same engines asked in this
process. Also a command by itself: `python -m tests.benchmarks.serving.gateway`.

The time that it adds to a request shows where a token takes the least, with the built-in model. What it takes
of 32 streams' tokens per second is said of the benchmark's own model, and of the built-in one, whose forward
pass of 2 ms is less than any that is worth serving and leaves nothing to hide behind."""

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
"""A bias against the end of text: every answer is as long as was asked for."""
_TOKENS = 64
_STREAMS = 32
_COUNTED = 10
"""Requests in a round, of one token and of many each."""

Ask = Callable[[int], Awaitable[None]]
"""Asks for so many tokens and reads the answer's stream to its end."""


def gateway(task: Task, *, rounds: int = 6) -> dict[str, float]:
    """Both ways take turns, so that what else the machine does meets both; a first round is not counted."""
    with tempfile.TemporaryDirectory() as name:
        catalogue = Path(name) / "catalogue.toml"
        catalogue.write_text(PACKAGED_CATALOGUE.read_text() + _entry(base_of(task)))
        with running(Path(name) / "tunery", TUNERY_CATALOGUE=str(catalogue)) as tunery:
            return asyncio.run(_compared(tunery, Path(name), base_of(task), rounds))


def _entry(base: BaseSpec) -> str:
    assert base.source.kind == "folder"
    return (
        f'\n[[model]]\nalias = "{base.alias}"\ncontext_length = {base.context_length}\n'
        f'source = {{ kind = "folder", path = "{base.source.path}" }}\nlearning_rates = {{ lora = 1e-3 }}\n'
    )


async def _compared(tunery: Tunery, folder: Path, larger: BaseSpec, rounds: int) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(_client(tunery))
        taken = []
        for base in (load_catalogue()[BASE], larger):
            direct = await stack.enter_async_context(_direct(base, folder))
            taken.append({direct: _Taken(), _through(http, base.alias): _Taken()})
        small, large = taken
        for round_ in range(rounds + 1):
            for ask, sofar in small.items():
                await sofar.add_each(ask)
            for ask, sofar in [*small.items(), *large.items()]:
                await sofar.add_together(ask)
            if round_ == 0:
                for sofar in [*small.values(), *large.values()]:
                    sofar.forget()
    alone, added = small.values()
    return {
        "gateway_ms_p50": _added_ms(alone.one, added.one),
        f"gateway_ms_p50_of_{_TOKENS}": _added_ms(alone.many, added.many),
        "http_tokens_share": _share(*large.values()),
        "http_tokens_share_of_tiny": _share(*small.values()),
    }


@dataclass
class _Taken:
    """Seconds."""

    one: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    async def add_each(self, ask: Ask) -> None:
        for tokens, taken in ((1, self.one), (_TOKENS, self.many)):
            taken += [await _seconds(ask(tokens)) for _ in range(_COUNTED)]

    async def add_together(self, ask: Ask) -> None:
        self.together.append(await _seconds(asyncio.gather(*(ask(_TOKENS) for _ in range(_STREAMS)))))

    def forget(self) -> None:
        for taken in (self.one, self.many, self.together):
            taken.clear()


async def _seconds(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _added_ms(alone: list[float], http: list[float]) -> float:
    return round((statistics.median(http) - statistics.median(alone)) * 1000, 2)


def _share(alone: _Taken, http: _Taken) -> float:
    return round(statistics.median(alone.together) / statistics.median(http.together), 3)


@asynccontextmanager
async def _direct(base: BaseSpec, folder: Path) -> AsyncIterator[Ask]:
    weights = WeightsFolder(folder / "cache", LocalStore(folder / "objects"))
    engine: EmbeddedEngine = await EmbeddedLoader(weights, EngineLimits())(ModelRef(base=base))
    numbers = itertools.count()

    async def ask(tokens: int) -> None:
        request = GenerationRequest(
            id=f"direct-{next(numbers)}",
            model=ModelRef(base=base),
            prompt=TokenPrompt(token_ids=_PROMPT),
            sampling=Sampling(max_tokens=tokens, temperature=0, logit_bias=_NEVER_ENDS),
        )
        async for _ in engine.generate(request):
            pass

    try:
        yield ask
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


def _through(http: httpx2.AsyncClient, model: str) -> Ask:
    async def ask(tokens: int) -> None:
        body = {
            "model": model,
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

    return ask


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-http-") as name:
        task = Task(folder=name, vocab=MEDIUM.vocab, context=1024, n_adapters=1)
        prepare(task, MEDIUM)
        # In a process that the engine's settings were made for.
        print(json.dumps(run_child("gateway", task)))
