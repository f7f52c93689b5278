"""The application at /datasets: the dataset compiler, for jobs that are being validated.

It always runs, so it is also the one that says whether the engines do."""

import asyncio

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cluster.contracts.datasets import DatasetCheckRequest
from cluster.serving.deployment.gate import Gate, json_answer, read
from cluster.serving.deployment.readiness import check_engines
from cluster.storage.location import store_from_environment
from cluster.storage.store import ObjectStore
from cluster.training.compiled import check_dataset

CHECKS = 4
"""At once. Each is a thread's work for as long as its file is large."""


class DatasetsApp:
    def __init__(self, store: ObjectStore | None = None) -> None:
        """`store` is the environment's unless given."""
        self._gate = Gate({("POST", "check"): self._check, ("GET", "ready"): self._ready})
        self._store = store or store_from_environment()
        self._checks = asyncio.Semaphore(CHECKS)

    async def __call__(self, request: Request) -> Response:
        return await self._gate.answer(request)

    async def _check(self, request: Request) -> Response:
        wanted = await read(DatasetCheckRequest, request)
        async with self._checks:
            return json_answer(await asyncio.to_thread(check_dataset, wanted, self._store))

    async def _ready(self, request: Request) -> Response:
        await check_engines()
        return JSONResponse({})


deployment = serve.deployment(
    DatasetsApp,
    name="datasets",
    # Whoever asks whether all is ready is not to wait behind checks: then a few large files would look like
    # a cluster that does not answer.
    max_ongoing_requests=16 * CHECKS,
    graceful_shutdown_timeout_s=60,
    ray_actor_options={"num_cpus": 0},
)

app = deployment.bind()
