"""The Ray Serve applications: engines and the dataset compiler behind bearer-checked HTTP.

`engine_app`, at /engine:
    POST /engine/generate   GenerationRequest -> a stream of WireEvents, one JSON a line; a disconnect cancels
    POST /engine/classify   ClassificationRequest -> ClassificationAnswer
    POST /engine/ensure     ModelRef -> {} once it is loaded
    POST /engine/cancel     {"id": ...} -> {}
    GET  /engine/stats      -> a list of EngineStats
    GET  /engine/healthz    -> {}
`datasets_app`, at /datasets:
    POST /datasets/check    DatasetCheckRequest -> DatasetCheck

An error before a stream starts is a status and an ErrorEvent. The settings are the replica's environment:
TUNERY_CLUSTER_TOKEN (required), TUNERY_STORAGE_URL and TUNERY_STORAGE_ENDPOINT, TUNERY_CACHE_DIR (weights on
disk) and TUNERY_CACHE_BYTES (how much of them; without it half of what the disk has free), TUNERY_CATALOGUE,
TUNERY_WARM_BASES (aliases to load before the replica is ready, by commas), TUNERY_ENGINE_SLOTS (choices
decoded together), TUNERY_ENGINE_WAITING (choices of a tenant in the queue), TUNERY_ENGINE_ADAPTERS and
TUNERY_ENGINE_MODELS (adapters of one model, and models, in memory; as many tuned encoders again), and
TUNERY_ENGINE_ADAPTER_BYTES (what a model's adapters may take together; 0, the default, is no limit).
A replica uses a GPU if Serve's configuration gives it one: `ray_actor_options: {num_gpus: 1}` of `engine`.
TUNERY_ENGINE says what runs the models: `embedded` (the default) or `vllm`, which needs a GPU. vLLM divides
the GPU's memory between TUNERY_ENGINE_MODELS models; TUNERY_ENGINE_BATCH_ADAPTERS are adapters on the GPU,
which one batch may mix, and TUNERY_ENGINE_LORA_RANK is the largest rank of one.
"""

import asyncio
import hmac
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.classification import ClassificationRequest
from cluster.contracts.datasets import DatasetCheckRequest
from cluster.contracts.errors import AuthenticationFailed, InvalidConfiguration, InvalidRequest, NotFound
from cluster.contracts.generation import EngineStats, GenerationEvent, GenerationRequest, ModelRef
from cluster.serving.classifiers import ClassifierPool
from cluster.serving.job import Limits
from cluster.serving.load import EmbeddedLoader
from cluster.serving.pool import EnginePool, LoadEngine
from cluster.serving.vllm_backend.load import VllmLoader, VllmOptions
from cluster.serving.weights import WeightsFolder
from cluster.serving.wire import error_event, headers_of, status_of
from cluster.storage.location import store_from_environment
from cluster.training.compiled import check_dataset

_STATS = TypeAdapter(list[EngineStats])
Handler = Callable[[Request], Awaitable[Response]]


class _CancelRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str


class EngineApp:
    """One replica: every base that is asked for, in one process."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it, and is not ready before.
        self._gate = _Gate(
            {
                ("POST", "generate"): self._generate,
                ("POST", "classify"): self._classify,
                ("POST", "ensure"): self._ensure,
                ("POST", "cancel"): self._cancel,
                ("GET", "stats"): self._stats,
                ("GET", "healthz"): self._healthz,
            }
        )
        limits = Limits(
            slots=_number("SLOTS", 32),
            max_waiting=_number("WAITING", 256),
            adapters=_number("ADAPTERS", 32),
            adapter_bytes=_number("ADAPTER_BYTES", 0, least=0) or None,
        )
        cache = Path(os.environ.get("TUNERY_CACHE_DIR") or Path.home() / ".cache" / "tunery")
        weights = WeightsFolder(cache / "weights", store_from_environment())
        self._pool = EnginePool(engine_loader(weights, limits), capacity=_number("MODELS", 4))
        self._classifiers = ClassifierPool(weights, capacity=_number("MODELS", 4))
        catalogue = load_catalogue()
        for alias in filter(None, os.environ.get("TUNERY_WARM_BASES", "").split(",")):
            if alias not in catalogue:
                raise InvalidConfiguration(
                    f"TUNERY_WARM_BASES names {alias}, which is not in the catalogue.",
                    param="TUNERY_WARM_BASES",
                )
            if catalogue[alias].architecture == "encoder":
                raise InvalidConfiguration(
                    f"TUNERY_WARM_BASES names {alias}, an encoder, of which only tuned models are served.",
                    param="TUNERY_WARM_BASES",
                )
            await self._pool.keep(ModelRef(base=catalogue[alias]))

    async def __call__(self, request: Request) -> Response:
        return await self._gate.answer(request)

    async def check_health(self) -> None:
        """Serve asks this now and then, and replaces a replica that raises."""
        await self._pool.stats()

    async def _generate(self, request: Request) -> Response:
        events = self._pool.generate(GenerationRequest.model_validate_json(await request.body()))
        # The first event decides between a status and a stream.
        first = await anext(events, None)
        return StreamingResponse(_lines(first, events), media_type="application/x-ndjson")

    async def _classify(self, request: Request) -> Response:
        wanted = ClassificationRequest.model_validate_json(await request.body())
        return _json((await self._classifiers.classify(wanted)).model_dump_json().encode())

    async def _ensure(self, request: Request) -> Response:
        model = ModelRef.model_validate_json(await request.body())
        pool = self._classifiers if model.base.architecture == "encoder" else self._pool
        await pool.ensure(model)
        return JSONResponse({})

    async def _cancel(self, request: Request) -> Response:
        await self._pool.cancel(_CancelRequest.model_validate_json(await request.body()).id)
        return JSONResponse({})

    async def _stats(self, request: Request) -> Response:
        return _json(_STATS.dump_json(await self._pool.stats()))

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({})


def engine_loader(weights: WeightsFolder, limits: Limits) -> LoadEngine:
    """What TUNERY_ENGINE says. Raises InvalidConfiguration."""
    match os.environ.get("TUNERY_ENGINE") or "embedded":
        case "embedded":
            return EmbeddedLoader(weights, limits)
        case "vllm":
            options = VllmOptions(
                # A tenth is left to what is not vLLM's.
                memory_share=0.9 / _number("MODELS", 4),
                batch_adapters=_number("BATCH_ADAPTERS", 8),
                lora_rank=_number("LORA_RANK", 64),
            )
            return VllmLoader(weights, limits, options)
        case other:
            raise InvalidConfiguration(
                f"TUNERY_ENGINE is {other!r}; it must be embedded or vllm.", param="TUNERY_ENGINE"
            )


class DatasetsApp:
    """The dataset compiler, for jobs that are being validated."""

    def __init__(self) -> None:
        self._gate = _Gate({("POST", "check"): self._check})
        self._store = store_from_environment()

    async def __call__(self, request: Request) -> Response:
        return await self._gate.answer(request)

    async def _check(self, request: Request) -> Response:
        wanted = DatasetCheckRequest.model_validate_json(await request.body())
        found = await asyncio.to_thread(check_dataset, wanted, self._store)
        return _json(found.model_dump_json().encode())


class _Gate:
    """Lets in who knows the cluster's token, finds the handler, and makes errors into answers."""

    def __init__(self, handlers: dict[tuple[str, str], Handler]) -> None:
        token = os.environ.get("TUNERY_CLUSTER_TOKEN", "")
        if not token:
            raise InvalidConfiguration("TUNERY_CLUSTER_TOKEN is not set.", param="TUNERY_CLUSTER_TOKEN")
        self._expected = f"Bearer {token}".encode()
        self._handlers = handlers

    async def answer(self, request: Request) -> Response:
        try:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._expected):
                raise AuthenticationFailed("The cluster's token is missing or wrong.")
            handler = self._handlers.get((request.method, request.url.path.rpartition("/")[2]))
            if handler is None:
                raise NotFound(f"No route {request.method} {request.url.path}.")
            return await handler(request)
        except ValidationError as error:
            return _refusal(InvalidRequest(f"The request cannot be read: {error}"))
        except Exception as error:
            return _refusal(error)


def _refusal(error: Exception) -> Response:
    status = 401 if isinstance(error, AuthenticationFailed) else status_of(error)
    return Response(
        error_event(error).model_dump_json(), status, headers_of(error), media_type="application/json"
    )


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


async def _lines(
    first: GenerationEvent | None, events: AsyncGenerator[GenerationEvent, None]
) -> AsyncGenerator[str, None]:
    async with aclosing(events):
        try:
            if first is not None:
                yield first.model_dump_json() + "\n"
            async for event in events:
                yield event.model_dump_json() + "\n"
        except Exception as error:
            yield error_event(error).model_dump_json() + "\n"


def _number(name: str, default: int, *, least: int = 1) -> int:
    variable = f"TUNERY_ENGINE_{name}"
    value = os.environ.get(variable) or str(default)
    if not value.isdecimal() or int(value) < least:
        raise InvalidConfiguration(
            f"{variable} is {value!r}; it must be a number from {least}.", param=variable
        )
    return int(value)


engine_app = serve.deployment(
    EngineApp,
    name="engine",
    # The engine bounds its own queue and answers 429; Serve's limit is only a second wall behind that one.
    max_ongoing_requests=512,
    max_queued_requests=512,
    # As long as a stream may take to end after a redeployment.
    graceful_shutdown_timeout_s=120,
    health_check_timeout_s=60,
    # A claim, not a limit: beside a training run on two cores both must be placed.
    ray_actor_options={"num_cpus": 0.5},
).bind()

datasets_app = serve.deployment(
    DatasetsApp,
    name="datasets",
    max_ongoing_requests=4,
    graceful_shutdown_timeout_s=60,
    ray_actor_options={"num_cpus": 0},
).bind()
