"""The application at /engine: generation, classification and embedding."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
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
from cluster.contracts.ray_nodes import ClusterReport, ClusterRequest
from cluster.serving.deployment.cluster_state import ClusterState
from cluster.serving.deployment.gate import Gate, json_answer, load_timeout, parse_body
from cluster.serving.deployment.listener import Listener
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.metrics import RayMetrics
from cluster.serving.deployment.placement.application import as_ours
from cluster.serving.deployment.placement.plans import ServingPlans
from cluster.serving.deployment.placement.remote import RemoteModels
from cluster.serving.deployment.replica_logs import log_as_json
from cluster.serving.deployment.reserved_gpus import hide_unreserved_gpus
from cluster.serving.deployment.router import routing_stats
from cluster.serving.deployment.scaling import entries, options, replicas, without_gpus
from cluster.serving.deployment.settings import PLACER, EngineSettings
from cluster.tracing import configure_tracing
from cluster.wire.codec import EventChunk, encode_error, encode_event

if TYPE_CHECKING:
    from cluster.serving.deployment.models import ReplicaModels
    from cluster.serving.deployment.placement.split import SplitModels

_STATS = TypeAdapter(list[EngineStats])


class EngineApp:
    """One replica. Runs all requested bases in one process or, with a placer, forwards to their
    deployments."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it before the replica is ready.
        self, placer: DeploymentHandle | None = None, cluster: DeploymentHandle | None = None
    ) -> None:
        """`cluster` is the deployment of `ClusterApp`, if there may be several replicas."""
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
        self._look = ClusterState().answer if cluster is None else partial(_look_from, cluster)
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
        """Serve awaits this after the requests that it is aware of have ended."""
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
        # The first chunk decides whether the response is an error status or a stream.
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
        return json_answer(await self._look(await parse_body(ClusterRequest, request)))

    async def _stats(self, request: Request) -> Response:
        return Response(_STATS.dump_json(await self._models.stats()), media_type="application/json")


class ClusterApp:
    """The only process that requests nodes from Ray's autoscaler: requests end with the process that made
    them, and only it can withdraw them."""

    def __init__(self) -> None:
        hide_unreserved_gpus()
        listen_where_the_node_is()
        self._state = ClusterState()

    async def answer(self, request: ClusterRequest) -> ClusterReport:
        """Answers like ClusterState."""
        return await self._state.answer(request)


async def _look_from(cluster: DeploymentHandle, request: ClusterRequest) -> ClusterReport:
    try:
        report: ClusterReport = await cluster.options(method_name="answer").remote(request)
    except Exception as error:
        raise as_ours(error) from error
    return report


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
    # Imported here, because torch takes seconds to import. Building the application imports this module too,
    # and neither that nor a replica that only forwards needs torch.
    if placer is None:
        from cluster.serving.deployment.models import ReplicaModels

        return ReplicaModels(settings)
    remote = RemoteModels(settings, placer)
    if settings.placement == "own":
        return remote
    from cluster.serving.deployment.placement.split import SplitModels

    return SplitModels(settings, remote, ServingPlans(settings))


def _application() -> Application:
    settings = EngineSettings.read()
    sizes = entries(settings)
    engines = serve.deployment(
        EngineApp,
        name="engine",
        # A reservation, not a limit: on two cores, an engine and a training run must both fit.
        ray_actor_options=without_gpus(settings, 0.1 if settings.placement == "own" else 0.5),
        **options(settings),
        **replicas(sizes),
    )
    cluster = None
    if sizes.max_replicas > 1:
        cluster = serve.deployment(
            ClusterApp, name="cluster", ray_actor_options=without_gpus(settings, 0)
        ).bind()
    if not settings.forwards:
        return engines.bind(None, cluster)
    from cluster.serving.deployment.placement.placer import Placer

    placer = serve.deployment(
        Placer,
        name=PLACER,
        ray_actor_options=without_gpus(settings, 0),
        # A call may wait minutes for a model that is being removed, and must not block the others.
        max_ongoing_requests=1000,
    ).bind()
    return engines.bind(placer, cluster)


app = _application()
