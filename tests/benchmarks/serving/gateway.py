"""What the gateway's HTTP adds to a request: the whole way from a client's socket to an engine that answers
at once, less that engine alone. The hop from the gateway to a replica is not part of it."""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from cluster.contracts.generation import GenerationRequest, ModelRef, Sampling, TextPrompt
from cluster.storage.local import LocalStore
from service.api.app import create_app
from service.api.parts import Parts
from service.db.database import Database
from service.settings import Settings
from tests.api import BASE, add_project, listening
from tests.fakes import FakeEngine

_TOKENS = 64
_WARMING, _COUNTED = 20, 200


def gateway_ms() -> float:
    """Milliseconds by the clock, the median's difference."""
    engine = FakeEngine(pieces=[" word"] * _TOKENS)
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{name}/bench.db"
        database = Database(url)
        database.migrate()
        project = add_project(database)
        settings = Settings(database_url=url, storage_url=f"file://{name}/objects")
        parts = Parts(settings, database, LocalStore(Path(name) / "objects"), engine, {BASE.alias: BASE})
        with (
            listening(create_app(settings, open_parts=lambda _: parts)) as root,
            httpx2.Client(base_url=root, headers={"authorization": f"Bearer {project.key}"}) as http,
        ):
            through = _median_ms(lambda: _complete(http))
    return through - _direct_ms(engine)


def _complete(http: httpx2.Client) -> None:
    body = {"model": BASE.alias, "prompt": "Hello", "max_tokens": _TOKENS}
    http.post("/v1/completions", json=body).raise_for_status()


def _direct_ms(engine: FakeEngine) -> float:
    numbers = itertools.count()

    async def ask() -> None:
        request = GenerationRequest(
            id=f"direct-{next(numbers)}",
            model=ModelRef(base=BASE),
            prompt=TextPrompt(text="Hello"),
            sampling=Sampling(max_tokens=_TOKENS),
        )
        async for _ in engine.generate(request):
            pass

    with asyncio.Runner() as runner:
        return _median_ms(lambda: runner.run(ask()))


def _median_ms(ask: Callable[[], None]) -> float:
    taken = []
    for _ in range(_WARMING + _COUNTED):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[_WARMING:]) * 1000
