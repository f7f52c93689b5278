"""The application at /engine: generation, classification and embedding."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cluster.contracts.classification import ClassificationRequest
from cluster.contracts.devices import TrainingClaim
from cluster.contracts.embedding import EmbeddingRequest
from cluster.contracts.generation import (
    REPLICA_HEADER,
    EngineStats,
    GenerationRequest,
    ModelRef,
)
from cluster.contracts.ray_nodes import ClusterRequest
from cluster.serving.deployment.cluster_state import ClusterState
from cluster.serving.deployment.gate import Gate, json_answer, load_timeout, parse_body
from cluster.serving.deployment.listener import Listener
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.metrics import RayMetrics
from cluster.serving.deployment.placement.plans import ServingPlans
from cluster.serving.deployment.placement.remote import RemoteModels
from cluster.serving.deployment.replica_logs import log_as_json
from cluster.serving.deployment.reserved_gpus import hide_unreserved_gpus
from cluster.serving.deployment.router import routing_stats
from cluster.serving.deployment.scaling import options, replicas
from cluster.serving.deployment.settings import PLACER, EngineSettings
from cluster.tracing import configure_tracing
from cluster.wire.codec import EventChunk, encode_error, encode_event

if TYPE_CHECKING:
    from cluster.serving.deployment.models import ReplicaModels
    from cluster.serving.deployment.placement.split import SplitModels

_STATS = TypeAdapter(list[EngineStats])


class EngineApp:
    """One replica: runs all requested bases in one process or, with a placer, forwards to their
    deployments."""

    async def __init__(self, placer: DeploymentHandle | None = None) -> None:  # type: ignore[misc]  # Serve awaits it before the replica is ready.
        hide_unreserved_gpus()
        listen_where_the_node_is()
        log_as_json()
        configure_tracing("serving")
        self._gate = Gate(
            {
                ("POST", "generate"): self._generate,
                ("POST", "classify"): self._classify,
                ("POST", "embed"): self._embed,
                ("POST", "ensure"): self._ensure,
                ("POST", "devices"): self._devices,
                ("POST", "cluster"): self._cluster,
                ("GET", "stats"): self._stats,
            }
        )
        self._gate.headers["replica"] = serve.get_replica_context().replica_id.unique_id
        settings = EngineSettings.read()
        self._state = ClusterState()
        self._models = _models(settings, placer)
        self._metrics = RayMetrics()
        await self._models.warm()
        self._listener: Listener | None = None
        if settings.listen_host:
            self._listener = Listener(self._gate, settings.listen_host)
            self._gate.headers[REPLICA_HEADER] = self._listener.url

    async def __call__(self, request: Request) -> Response:
        return await self._gate.answer(request)

    async def __del__(self) -> None:
        """Serve awaits this after the requests that it knows of have ended."""
        if self._listener is not None:
            await self._listener.close()

    async def check_health(self) -> None:
        """Serve calls this periodically and replaces a replica that raises."""
        await self._models.check()

    async def record_routing_stats(self) -> dict[str, Any]:
        """Serve calls this every two seconds and passes the result to the routers."""
        self._metrics.record(await self._models.own_stats())
        return routing_stats(await self._models.names())

    async def _generate(self, request: Request) -> Response:
        body = await parse_body(GenerationRequest, request)
        chunks = self._models.generate(body, load_timeout_seconds=load_timeout(request))
        # The first chunk decides between an error status and a stream.
        first = await anext(chunks, None)
        return StreamingResponse(_lines(first, chunks), media_type="application/x-ndjson")

    async def _classify(self, request: Request) -> Response:
        body = await parse_body(ClassificationRequest, request)
        return json_answer(await self._models.classify(body, load_timeout_seconds=load_timeout(request)))

    async def _embed(self, request: Request) -> Response:
        body = await parse_body(EmbeddingRequest, request)
        return json_answer(await self._models.embed(body, load_timeout_seconds=load_timeout(request)))

    async def _ensure(self, request: Request) -> Response:
        model = await parse_body(ModelRef, request)
        await self._models.ensure(model, load_timeout_seconds=load_timeout(request))
        return JSONResponse({})

    async def _devices(self, request: Request) -> Response:
        claim = await parse_body(TrainingClaim, request)
        return json_answer(await self._models.claim_devices(claim))

    async def _cluster(self, request: Request) -> Response:
        return json_answer(await self._state.answer(await parse_body(ClusterRequest, request)))

    async def _stats(self, request: Request) -> Response:
        return Response(_STATS.dump_json(await self._models.stats()), media_type="application/json")


async def _lines(
    first: EventChunk | None, chunks: AsyncGenerator[EventChunk, None]
) -> AsyncGenerator[str, None]:
    async with aclosing(chunks):
        try:
            if first is not None:
                yield first.lines
            async for chunk in chunks:
                yield chunk.lines
        except Exception as error:
            yield encode_event(encode_error(error))


def _models(
    settings: EngineSettings, placer: DeploymentHandle | None
) -> "ReplicaModels | RemoteModels | SplitModels":
    # Here, because what builds the application imports this module too, and would take seconds longer for
    # torch.
    from cluster.serving.deployment.models import ReplicaModels
    from cluster.serving.deployment.placement.split import SplitModels

    if placer is None:
        return ReplicaModels(settings)
    remote = RemoteModels(settings, placer)
    return remote if settings.placement == "own" else SplitModels(settings, remote, ServingPlans(settings))


def _application() -> Application:
    settings = EngineSettings.read()
    engines = _ENGINES.options(**options(settings))
    if settings.placement == "shared" and not settings.serving_pools:
        return engines.options(**replicas(settings)).bind()
    from cluster.serving.deployment.placement.placer import Placer

    placer = serve.deployment(
        Placer,
        name=PLACER,
        ray_actor_options={"num_cpus": 0},
        # A call may wait minutes for a model that is being removed, and must not hold up the others.
        max_ongoing_requests=1000,
    ).bind()
    if settings.placement == "shared":
        return engines.options(**replicas(settings)).bind(placer)
    return engines.options(ray_actor_options={"num_cpus": 0.1}).bind(placer)


_ENGINES = serve.deployment(
    EngineApp,
    name="engine",
    # A reservation, not a limit: on two cores, an engine and a training run must both be placed.
    ray_actor_options={"num_cpus": 0.5},
)

app = _application()
