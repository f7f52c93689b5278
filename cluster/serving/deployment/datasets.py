"""The application at /datasets: the dataset compiler, for jobs that are being validated.

It always runs, so it is also the one that says whether the engines do."""

import asyncio

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cluster.contracts.datasets import DatasetCheckRequest
from cluster.serving.deployment.gate import Gate, json_answer
from cluster.serving.deployment.readiness import check_engines
from cluster.storage.location import store_from_environment
from cluster.training.compiled import check_dataset


class DatasetsApp:
    def __init__(self) -> None:
        self._gate = Gate({("POST", "check"): self._check, ("GET", "ready"): self._ready})
        self._store = store_from_environment()

    async def __call__(self, request: Request) -> Response:
        return await self._gate.answer(request)

    async def _check(self, request: Request) -> Response:
        wanted = DatasetCheckRequest.model_validate_json(await request.body())
        return json_answer(await asyncio.to_thread(check_dataset, wanted, self._store))

    async def _ready(self, request: Request) -> Response:
        await check_engines()
        return JSONResponse({})


app = serve.deployment(
    DatasetsApp,
    name="datasets",
    max_ongoing_requests=4,
    graceful_shutdown_timeout_s=60,
    ray_actor_options={"num_cpus": 0},
).bind()
