"""Per-model placement: a Serve application for each base, each full fine-tune and each hot adapter, which
scales to zero, and the small actor that creates and removes them."""

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Protocol

from ray import serve
from ray.serve import RunTarget
from ray.serve.schema import ApplicationStatus

from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.models import ReplicaModels
from cluster.serving.deployment.router import routing_stats
from cluster.serving.deployment.scaling import OPTIONS, replicas
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.deployment.usage_rates import UsageRates, models_to_merge
from cluster.wire.codec import EventChunk

_log = logging.getLogger(__name__)

_PREFIX = "model-"
_ALIVE = (ApplicationStatus.RUNNING, ApplicationStatus.DEPLOYING, ApplicationStatus.UNHEALTHY)
_ROUND_SECONDS = 60.0
"""Interval between two searches for unused applications."""
_WINDOW_SECONDS = 300.0
"""Time over which adapters' usage is averaged."""


class ModelApp:
    """A replica of one model and the adapters on it, or of a single adapter merged into its base. Called
    through a handle, with JSON. Raises what `ReplicaModels` raises, and InvalidRequest for a model that it
    does not run."""

    async def __init__(self, model: str, merges: bool) -> None:  # type: ignore[misc]  # Serve awaits it.
        listen_where_the_node_is()
        settings = EngineSettings.read().model_copy(update={"models": 1, "warm_bases": ""})
        self._models = ReplicaModels(settings, merges=merges)
        own = ModelRef.model_validate_json(model)
        self._only = own.name if merges else None
        # Not awaited: requests get the error if loading fails, while the replica stays up.
        self._loading = asyncio.create_task(self._models.ensure(own))
        self._loading.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def generate(
        self, body: str, load_timeout_seconds: float | None
    ) -> AsyncGenerator[EventChunk, None]:
        request = GenerationRequest.model_validate_json(body)
        self._check(request.model)
        chunks = self._models.generate(request, load_timeout_seconds=load_timeout_seconds)
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
        await self._models.check()

    async def record_routing_stats(self) -> dict[str, Any]:
        return routing_stats(await self._models.names())

    def _check(self, model: ModelRef) -> None:
        if self._only not in (None, model.name):
            raise InvalidRequest(
                f"This replica has one adapter merged into its base and runs no other model: it has "
                f"{self._only}, and the request names {model.name}.",
                param="model",
            )


class Applications(Protocol):
    """Manages the applications of models. All methods block."""

    def alive(self) -> set[str]:
        """The names of the applications that are running or starting."""
        ...

    def run(self, name: str, model: ModelRef, settings: EngineSettings, *, merges: bool) -> None:
        """Creates or recreates one, without waiting until it runs."""
        ...

    def delete(self, name: str) -> None: ...


class ServeApplications:
    """Applications in Ray Serve."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Serve's client is shared by the process and not documented to be thread-safe."""

    def alive(self) -> set[str]:
        with self._lock:
            found = serve.status().applications
        return {name for name, one in found.items() if name.startswith(_PREFIX) and one.status in _ALIVE}

    def run(self, name: str, model: ModelRef, settings: EngineSettings, *, merges: bool) -> None:
        # The weights without the adapter of the first request: adapters come and go.
        own = model if merges else model.owner
        # A hot adapter cools down again and then needs no replica.
        scaled = settings.model_copy(update={"min_replicas": 0}) if merges else settings
        deployment = serve.deployment(
            ModelApp,
            name="model",
            ray_actor_options={"num_cpus": 0.5, **settings.actor_options},
            **OPTIONS,
            **replicas(scaled),
        )
        target = RunTarget(deployment.bind(own.model_dump_json(), merges), name=name, route_prefix=None)
        with self._lock:
            serve.run_many([target], wait_for_applications_running=False)

    def delete(self, name: str) -> None:
        # Not locked, because it waits until the replicas are gone.
        serve.delete(name)


class Placer:
    """Creates the applications, each once for all concurrent callers, and again if Serve has given up on it.
    Removes those that have not been used for `forget_seconds`. There is one replica; a new one learns the
    applications from Serve."""

    async def __init__(self, applications: Applications | None = None) -> None:  # type: ignore[misc]
        """`applications` defaults to Serve's. Serve awaits this constructor."""
        listen_where_the_node_is()
        self._settings = EngineSettings.read()
        self._applications = applications or ServeApplications()
        self._locks: dict[str, asyncio.Lock] = {}
        alive = await asyncio.to_thread(self._applications.alive)
        self._used = dict.fromkeys(alive, time.monotonic())
        self._rates = UsageRates(_WINDOW_SECONDS)
        self._hot: frozenset[str] = frozenset()
        self._refused: set[str] = set()
        self._forgetting = asyncio.create_task(self._forget())

    async def place(self, model: str) -> str:
        """Returns the name of the application of the model's weights, after creating it if necessary."""
        return await self._placed(ModelRef.model_validate_json(model), merges=False)

    async def report(self, tokens: dict[str, int], refused: list[str]) -> dict[str, str]:
        """Adds the tokens by adapter since the last report. Returns the names of the applications that serve
        hot adapters merged into their bases, after creating them; adapters in `refused` cannot be merged.
        Models are JSON."""
        self._rates.add(tokens)
        self._refused.update(refused)
        self._hot = models_to_merge(
            self._rates.rates(),
            self._hot,
            refused=self._refused,
            threshold=self._settings.hot_tokens_per_second,
            most=self._settings.hot_adapters,
        )
        hot = sorted(self._hot)
        names = await asyncio.gather(
            *(self._placed(ModelRef.model_validate_json(model), merges=True) for model in hot)
        )
        return dict(zip(hot, names, strict=True))

    async def _placed(self, model: ModelRef, *, merges: bool) -> str:
        name = application_name(model, self._settings, merges=merges)
        async with self._locks.setdefault(name, asyncio.Lock()):
            # If an application's first replicas fail, Serve starts no others until it is recreated.
            if name not in await asyncio.to_thread(self._applications.alive):
                await asyncio.to_thread(self._applications.run, name, model, self._settings, merges=merges)
            self._used[name] = time.monotonic()
        return name

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(min(_ROUND_SECONDS, self._settings.forget_seconds))
            await forget(self._used, self._locks, self._settings.forget_seconds, self._applications.delete)


def application_name(model: ModelRef, settings: EngineSettings, *, merges: bool) -> str:
    """The name of the application of these weights with these settings: other settings make another one."""
    weights = f"{model.name} merged" if merges else model.weights
    named = f"{weights} {settings.model_dump_json()}"
    return _PREFIX + hashlib.sha256(named.encode()).hexdigest()[:16]


def unused(used: dict[str, float], now: float, forget_seconds: float) -> list[str]:
    return [name for name, at in used.items() if now - at > forget_seconds]


async def forget(
    used: dict[str, float],
    locks: dict[str, asyncio.Lock],
    forget_seconds: float,
    delete: Callable[[str], None],
) -> None:
    """Removes unused applications; logs why one could not be removed."""
    for name in unused(used, time.monotonic(), forget_seconds):
        async with locks.setdefault(name, asyncio.Lock()):
            # It may have been used while others were being removed.
            if time.monotonic() - used[name] <= forget_seconds:
                continue
            del used[name]
            try:
                await asyncio.to_thread(delete, name)
            except Exception:
                _log.exception("The application %s could not be removed.", name)
