"""The application at /engine: generation, classification and embedding."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import TypeAdapter
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cluster.contracts.classification import ClassificationRequest
from cluster.contracts.embedding import EmbeddingRequest
from cluster.contracts.generation import (
    REPLICA_HEADER,
    EngineStats,
    GenerationRequest,
    ModelRef,
)
from cluster.serving.deployment.gate import Gate, json_answer, load_timeout, parse_body
from cluster.serving.deployment.listener import Listener
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.models import ReplicaModels
from cluster.serving.deployment.per_model import Placer
from cluster.serving.deployment.remote import RemoteModels
from cluster.serving.deployment.router import routing_stats
from cluster.serving.deployment.scaling import OPTIONS, replicas
from cluster.serving.deployment.settings import EngineSettings
from cluster.wire.codec import EventChunk, encode_error, encode_event

_STATS = TypeAdapter(list[EngineStats])


class EngineApp:
    """One replica: runs all requested bases in one process or, with a placer, forwards to their
    deployments."""

    async def __init__(self, placer: DeploymentHandle | None = None) -> None:  # type: ignore[misc]  # Serve awaits it before the replica is ready.
        listen_where_the_node_is()
        self._gate = Gate(
            {
                ("POST", "generate"): self._generate,
                ("POST", "classify"): self._classify,
                ("POST", "embed"): self._embed,
                ("POST", "ensure"): self._ensure,
                ("GET", "stats"): self._stats,
            }
        )
        self._gate.headers["replica"] = serve.get_replica_context().replica_id.unique_id
        settings = EngineSettings.read()
        self._models = ReplicaModels(settings) if placer is None else RemoteModels(settings, placer)
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
        """Serve calls this periodically and passes the result to the routers."""
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


def _application() -> Application:
    settings = EngineSettings.read()
    if settings.placement == "shared":
        return _ENGINES.options(**replicas(settings)).bind()
    placer = serve.deployment(Placer, name="placer", ray_actor_options={"num_cpus": 0}).bind()
    return _ENGINES.options(ray_actor_options={"num_cpus": 0.1}).bind(placer)


_ENGINES = serve.deployment(
    EngineApp,
    name="engine",
    # A reservation, not a limit: on two cores, an engine and a training run must both be placed.
    ray_actor_options={"num_cpus": 0.5},
    **OPTIONS,
)

app = _application()
