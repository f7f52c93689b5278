"""The application at /engine."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import TypeAdapter
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cluster.contracts.classification import ClassificationRequest
from cluster.contracts.embedding import EmbeddingRequest
from cluster.contracts.generation import (
    EngineStats,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    WireEvent,
)
from cluster.serving.chunks import in_chunks
from cluster.serving.deployment.gate import Gate, json_answer
from cluster.serving.deployment.models import Models
from cluster.serving.deployment.router import ROUTER_CONFIG, routing_stats
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.wire import error_event

_STATS = TypeAdapter(list[EngineStats])
_PACE_SECONDS = 0.02
"""Between two pieces of a stream. Each costs replica and proxy a quarter of a millisecond of CPU together; 64
tokens in 130 ms, over gRPC and 16 streams at once, cost 11.3 ms one by one and 7.4 so."""


class EngineApp:
    """One replica: every base that is asked for, in one process."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it, and is not ready before.
        self._gate = Gate(
            {
                ("POST", "generate"): self._generate,
                ("POST", "classify"): self._classify,
                ("POST", "embed"): self._embed,
                ("POST", "ensure"): self._ensure,
                ("GET", "stats"): self._stats,
                ("GET", "healthz"): self._healthz,
            }
        )
        self._name = serve.get_replica_context().replica_id.unique_id
        self._models = Models(EngineSettings.read())
        await self._models.warm()

    async def __call__(self, request: Request) -> Response:
        response = await self._gate.answer(request)
        response.headers["replica"] = self._name
        return response

    async def check_health(self) -> None:
        """Serve asks this now and then, and replaces a replica that raises."""
        await self._models.stats()

    async def record_routing_stats(self) -> dict[str, Any]:
        """Serve asks this now and then, and tells the routers."""
        return routing_stats(await self._models.names())

    async def _generate(self, request: Request) -> Response:
        events = self._models.generate(GenerationRequest.model_validate_json(await request.body()))
        # The first event decides between a status and a stream.
        first = await anext(events, None)
        return StreamingResponse(_lines(first, events), media_type="application/x-ndjson")

    async def _classify(self, request: Request) -> Response:
        asked = ClassificationRequest.model_validate_json(await request.body())
        return json_answer(await self._models.classify(asked))

    async def _embed(self, request: Request) -> Response:
        asked = EmbeddingRequest.model_validate_json(await request.body())
        return json_answer(await self._models.embed(asked))

    async def _ensure(self, request: Request) -> Response:
        await self._models.ensure(ModelRef.model_validate_json(await request.body()))
        return JSONResponse({})

    async def _stats(self, request: Request) -> Response:
        return Response(_STATS.dump_json(await self._models.stats()), media_type="application/json")

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({})


async def _lines(
    first: GenerationEvent | None, events: AsyncGenerator[GenerationEvent, None]
) -> AsyncGenerator[str, None]:
    async with aclosing(in_chunks(events, pace_seconds=_PACE_SECONDS)) as chunks:
        try:
            if first is not None:
                yield _line(first)
            async for chunk in chunks:
                yield "".join(map(_line, chunk))
        except Exception as error:
            yield _line(error_event(error))


def _line(event: WireEvent) -> str:
    return event.model_dump_json() + "\n"


app = serve.deployment(
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
    request_router_config=ROUTER_CONFIG,
).bind()
