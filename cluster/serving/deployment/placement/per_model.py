"""A replica of one model, which has its own Serve application."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from ray import serve

from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import EngineStartFailed, InvalidRequest, TuneryError, Unavailable
from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef
from cluster.contracts.serving_plan import VllmPlan
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.metrics import RayMetrics
from cluster.serving.deployment.models import ReplicaModels
from cluster.serving.deployment.replica_logs import log_as_json
from cluster.serving.deployment.reserved_gpus import hide_unreserved_gpus
from cluster.serving.deployment.router import routing_stats
from cluster.serving.deployment.settings import PLACER, EngineSettings
from cluster.serving.residency.load_timeout import time_limit
from cluster.tracing import configure_tracing
from cluster.wire.codec import EventChunk

_log = logging.getLogger(__name__)


class ModelApp:
    """A replica of one model and the adapters on it, or of a single adapter merged into its base. Called
    through a handle, with JSON. Raises what `ReplicaModels` raises, and InvalidRequest for a model that it
    does not run."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it.
        self, model: str, merges: bool, vllm: str = "", placer: str = ""
    ) -> None:
        """`vllm` is the plan as JSON, if vLLM serves the model. `placer` is the application whose placer is
        told how the start ended."""
        hide_unreserved_gpus()
        listen_where_the_node_is()
        log_as_json()
        configure_tracing("serving")
        plan = VllmPlan.model_validate_json(vllm) if vllm else None
        settings = EngineSettings.read().model_copy(update={"models": 1, "warm_bases": ""})
        if plan is not None:
            # Unloading would not free a GPU: GPUs belong to the replica until it ends.
            settings = settings.model_copy(update={"idle_seconds": 0})
        self._models = ReplicaModels(settings, merges=merges, plan=plan)
        self._metrics = RayMetrics()
        own = ModelRef.model_validate_json(model)
        self._only = own.name if merges else None
        self._has_gpus = plan is not None
        self._failure: Exception | None = None
        """Error of the load at start."""
        self._start_seconds = settings.start_seconds if plan is not None else None
        self._is_stuck = False
        """Whether the load at start is still running after its time limit."""
        # Not awaited: if loading fails, requests get the error while the replica stays up.
        self._loading = asyncio.create_task(self._load(own, placer if plan else ""))
        self._loading.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def __del__(self) -> None:
        """Serve awaits this after the requests that it is aware of have ended."""
        # Otherwise vLLM's copies of adapters would stay on disk. A start that still runs is not waited for:
        # it has made no copies.
        if self._loading.done() and not self._is_stuck:
            await self._models.close()

    async def generate(
        self, body: str, load_timeout_seconds: float | None, parent: str | None = None
    ) -> AsyncGenerator[EventChunk, None]:
        """Generates an answer. `parent` is the `traceparent` of the request, if it is traced."""
        request = GenerationRequest.model_validate_json(body)
        self._check(request.model)
        chunks = self._models.generate(request, load_timeout_seconds=load_timeout_seconds, parent=parent)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def classify(self, body: str, load_timeout_seconds: float | None) -> ClassificationAnswer:
        request = ClassificationRequest.model_validate_json(body)
        self._check(request.model)
        return await self._models.classify(request, load_timeout_seconds=load_timeout_seconds)

    async def embed(self, body: str, load_timeout_seconds: float | None) -> EmbeddingAnswer:
        request = EmbeddingRequest.model_validate_json(body)
        self._check(request.model)
        return await self._models.embed(request, load_timeout_seconds=load_timeout_seconds)

    async def ensure(self, body: str, load_timeout_seconds: float | None) -> None:
        model = ModelRef.model_validate_json(body)
        self._check(model)
        await self._models.ensure(model, load_timeout_seconds=load_timeout_seconds)

    async def stats(self) -> list[EngineStats]:
        return await self._models.stats()

    async def check_health(self) -> None:
        """Serve replaces a replica that raises. That includes one that has reserved GPUs and could not load
        its model, unless a request has since caused it to load."""
        await self._models.check()
        if self._has_gpus and self._failure is not None and not await self._models.names():
            raise Unavailable("The model could not be loaded.") from self._failure

    async def record_routing_stats(self) -> dict[str, Any]:
        self._metrics.record(await self._models.own_stats())
        return routing_stats(await self._models.names())

    async def _load(self, own: ModelRef, placer: str) -> None:
        try:
            async with time_limit(self._start_seconds, partial(self._late, own)):
                await self._models.ensure(own)
            context_length = max((one.context_length for one in await self._models.own_stats()), default=0)
        except Exception as error:
            self._failure = error
            await _report(own, placer, failure=_start_failure(own, error))
            raise
        await _report(own, placer, context_length=context_length)

    def _late(self, own: ModelRef, seconds: float) -> EngineStartFailed:
        self._is_stuck = True
        return EngineStartFailed(
            f"vLLM has not started {own.base.alias} within {seconds:.0f} s (TUNERY_ENGINE_START_SECONDS). "
            "The log of its replica says how far it has come.",
            cause="timed_out",
        )

    def _check(self, model: ModelRef) -> None:
        if self._only not in (None, model.name):
            raise InvalidRequest(
                f"This replica has one adapter merged into its base and runs no other model: it has "
                f"{self._only}, and the request names {model.name}.",
                param="model",
            )


async def _report(
    model: ModelRef, placer: str, *, failure: EngineStartFailed | None = None, context_length: int = 0
) -> None:
    if placer:
        handle = serve.get_deployment_handle(PLACER, placer)
        own = serve.get_replica_context()
        await handle.options(method_name="started").remote(
            model.model_dump_json(),
            failure,
            name=own.app_name,
            replica=own.replica_id.unique_id,
            context_length=context_length,
        )


def _start_failure(model: ModelRef, error: Exception) -> EngineStartFailed:
    """Converts any error of a load for the placer, because a model that has not started must give its GPUs
    back."""
    if isinstance(error, EngineStartFailed):
        return error
    if isinstance(error, TuneryError):
        return EngineStartFailed(error.message, cause="crashed")
    alias = model.base.alias
    _log.error("%s could not be loaded.", alias, exc_info=error)
    return EngineStartFailed(f"{alias} could not be loaded. The replica's log says why.", cause="crashed")
