"""The application at /datasets: the dataset compiler, for jobs that are being validated.

It always runs, so it is also the one that says whether the engines do."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cluster.bases.resolve import base_folder, why_unavailable
from cluster.contracts.bases import BasesAnswer, BaseSpec, BasesRequest, HubSource
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.errors import Unavailable
from cluster.niceness import yield_to_others
from cluster.serving.deployment.gate import Gate, json_answer, load_timeout, parse_body
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.readiness import check_engines
from cluster.serving.deployment.single_flight import SingleFlight
from cluster.storage.location import store_from_environment
from cluster.storage.store import ObjectStore
from cluster.training.data.compiled import check_dataset

CHECKS = 4
"""At once. Each is a thread's work for as long as its file is large."""

FETCHES = 4
"""Base models that are downloaded at once."""


class DatasetsApp:
    def __init__(self, store: ObjectStore | None = None) -> None:
        """`store` is the environment's unless given."""
        listen_where_the_node_is()
        yield_to_others()
        self._gate = Gate(
            {
                ("POST", "check"): self._check,
                ("POST", "bases"): self._bases,
                ("GET", "ready"): self._ready,
            }
        )
        self._store = store or store_from_environment()
        self._checks = asyncio.Semaphore(CHECKS)
        self._once = SingleFlight()
        # Threads of their own: a hub that does not answer must not take those of everything else.
        self._fetchers = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")

    async def __call__(self, request: Request) -> Response:
        return await self._gate.answer(request)

    async def _check(self, request: Request) -> Response:
        """Bounded by the caller's patience: who comes back finds what has been done meanwhile."""
        wanted = await parse_body(DatasetCheckRequest, request)
        load_timeout_seconds = load_timeout(request)
        base = wanted.base
        if isinstance(base.source, HubSource):
            await self._once.run(
                base.model_dump_json(),
                partial(self._fetch, base),
                load_timeout_seconds=load_timeout_seconds,
                why=partial(_fetching, base),
            )
        found = await self._once.run(
            wanted.model_dump_json(),
            partial(self._checked, wanted),
            load_timeout_seconds=load_timeout_seconds,
            why=_checking,
        )
        return json_answer(found)

    async def _fetch(self, base: BaseSpec) -> None:
        await asyncio.get_running_loop().run_in_executor(self._fetchers, base_folder, base)

    async def _checked(self, wanted: DatasetCheckRequest) -> DatasetCheck:
        async with self._checks:
            return await asyncio.to_thread(check_dataset, wanted, self._store)

    async def _bases(self, request: Request) -> Response:
        wanted = await parse_body(BasesRequest, request)
        found = {base.alias: await asyncio.to_thread(why_unavailable, base) for base in wanted.bases}
        return json_answer(BasesAnswer(unavailable={name: why for name, why in found.items() if why}))

    async def _ready(self, request: Request) -> Response:
        await check_engines()
        return JSONResponse({})


def _fetching(base: BaseSpec, seconds: float) -> Unavailable:
    return Unavailable(
        f"The base model '{base.alias}' is being downloaded, for {seconds:.0f} seconds so far.",
        code="model_not_ready",
    )


def _checking(seconds: float) -> Unavailable:
    return Unavailable(
        f"The file is being read and compiled, for {seconds:.0f} seconds so far.", code="dataset_not_ready"
    )


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
