"""The entry's models with per-model placement. Each runs in its own deployment."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef
from cluster.serving.deployment.placement.application import ModelApplication, ReplicaLost, as_ours
from cluster.serving.deployment.placement.merged_adapters import MergedAdapters
from cluster.serving.deployment.placement.plans import takes_embedded
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.residency.load_timeout import LoadTimer, time_limit
from cluster.tracing import traceparent
from cluster.wire.codec import EventChunk

_log = logging.getLogger(__name__)

_PLACED_SECONDS = 60.0
"""How long an application is assumed to exist before the placer is called again. That call also marks it as
used."""
_TOUCH_SECONDS = 30.0
"""How often the placer is told that an application is still in use. The sum of both is less than
`IN_USE_SECONDS`."""

_ATTEMPTS = 2


class RemoteModels:
    """Behaves like `ReplicaModels`, but holds only a handle per model."""

    def __init__(
        self,
        settings: EngineSettings,
        placer: DeploymentHandle,
        *,
        find: Callable[[str], DeploymentHandle] = serve.get_app_handle,
    ) -> None:
        """`find` returns the handle of an application by its name."""
        self._placer = placer
        self._find = find
        self._scale_to_zero_seconds = settings.scale_to_zero_seconds
        self._applications: dict[str, ModelApplication] = {}
        """Applications by weights and engine."""
        self._placing: dict[str, asyncio.Task[ModelApplication]] = {}
        """Calls of the placer, by the same keys."""
        self._start = LoadTimer(self._ensure_weights)
        self._hot = MergedAdapters(settings, self._report, self._application)

    async def warm(self) -> None:
        """Does nothing: deployments start on demand."""

    async def ensure(self, model: ModelRef, *, load_timeout_seconds: float | None = None) -> None:
        await self._ask("ensure", model, model.model_dump_json(), load_timeout_seconds)

    async def generate(
        self, request: GenerationRequest, *, load_timeout_seconds: float | None
    ) -> AsyncGenerator[EventChunk, None]:
        # Until the first event, this runs in the task of the request.
        parent = traceparent()
        count = self._hot.counter(request.model)
        for attempt in range(_ATTEMPTS):
            application = await self._ready_application(request.model, load_timeout_seconds)
            has_begun, answer = False, None
            try:
                method = application.handle.options(
                    method_name="generate", stream=True, multiplexed_model_id=request.model.name
                )
                with self._in_use(application):
                    # Raises at once if the deployment has gone.
                    answer = method.remote(request.model_dump_json(), load_timeout_seconds, parent)
                    async for chunk in answer:
                        application.answered_at = time.monotonic()
                        has_begun = True
                        count(chunk.num_tokens)
                        yield chunk
                return
            except Exception as error:
                is_last = has_begun or attempt == _ATTEMPTS - 1
                self._retry_or_raise(application, error, is_last=is_last)
            finally:
                if answer is not None:
                    # Does nothing after the end of the stream. If a request reached no replica because the
                    # deployment is gone, it raises the stream's error again.
                    with suppress(Exception):
                        answer.cancel()

    async def classify(
        self, request: ClassificationRequest, *, load_timeout_seconds: float | None
    ) -> ClassificationAnswer:
        answer: ClassificationAnswer = await self._ask(
            "classify", request.model, request.model_dump_json(), load_timeout_seconds
        )
        return answer

    async def embed(
        self, request: EmbeddingRequest, *, load_timeout_seconds: float | None
    ) -> EmbeddingAnswer:
        answer: EmbeddingAnswer = await self._ask(
            "embed", request.model, request.model_dump_json(), load_timeout_seconds
        )
        return answer

    async def own_stats(self) -> list[EngineStats]:
        """Returns None: every engine is in its own replica, which reports it."""
        return []

    async def stats(self) -> list[EngineStats]:
        """Returns statistics of one replica of each application that certainly has one."""
        known = [*self._applications.values(), *self._hot.applications]
        running = [one for one in known if one.is_up(self._scale_to_zero_seconds)]
        found = await asyncio.gather(*(_stats_of(one) for one in running))
        return [stats for of_one in found for stats in of_one]

    async def check(self) -> None:
        """Does nothing: Serve checks the models' own replicas."""

    async def claim_devices(self, claim: TrainingClaim) -> ClaimAnswer:
        """Like `Placer.claim`."""
        try:
            answer: ClaimAnswer = await self._placer.options(method_name="claim").remote(
                claim.model_dump_json()
            )
        except Exception as error:
            raise as_ours(error) from error
        return answer

    async def names(self) -> list[str]:
        """Returns no names: every entry serves every model equally well."""
        return []

    async def _ask(
        self, method: str, model: ModelRef, content: str, load_timeout_seconds: float | None
    ) -> Any:
        for attempt in range(_ATTEMPTS):
            application = await self._ready_application(model, load_timeout_seconds)
            try:
                options = application.handle.options(method_name=method, multiplexed_model_id=model.name)
                with self._in_use(application):
                    answer = await options.remote(content, load_timeout_seconds)
            except Exception as error:
                self._retry_or_raise(application, error, is_last=attempt == _ATTEMPTS - 1)
            else:
                application.answered_at = time.monotonic()
                return answer
        raise AssertionError("the last attempt returns or raises")

    def _retry_or_raise(self, application: ModelApplication, error: Exception, *, is_last: bool) -> None:
        """Raises the error, unless the request may be retried because its replica was lost before it
        answered."""
        ours = as_ours(error)
        if is_last or not isinstance(ours, ReplicaLost):
            raise ours from error
        _log.warning("A replica was lost before it answered; the request is retried.", exc_info=error)
        application.answered_at, application.placed_at = None, -math.inf

    async def _ready_application(
        self, model: ModelRef, load_timeout_seconds: float | None
    ) -> ModelApplication:
        """Returns the model's application once a replica has the weights. Raises Unavailable if that takes
        too long."""
        if (merged := self._hot.ready_application(model)) is not None:
            return merged
        async with time_limit(load_timeout_seconds, partial(self._start.not_ready, model)):
            application = await self._place(model)
            if not application.is_up(self._scale_to_zero_seconds):
                if application.starting is None:
                    application.starting = asyncio.create_task(self._start(model))
                    application.starting.add_done_callback(application.start_ended)
                # Shielded, because other requests may be waiting for the same start.
                await asyncio.shield(application.starting)
        return application

    async def _place(self, model: ModelRef) -> ModelApplication:
        key = _key(model)
        application = self._applications.get(key)
        if application is None or time.monotonic() - application.placed_at > _PLACED_SECONDS:
            if key not in self._placing:
                self._placing[key] = placing = asyncio.create_task(self._placed(key, model))
                placing.add_done_callback(partial(self._placing_ended, key))
            # Shielded, because other requests may also be waiting for it.
            application = await asyncio.shield(self._placing[key])
        return application

    async def _placed(self, key: str, model: ModelRef) -> ModelApplication:
        now = time.monotonic()
        try:
            name = await self._placer.options(method_name="place").remote(model.model_dump_json())
            found = self._application(name)
        except Exception as error:
            raise as_ours(error) from error
        application = self._applications.setdefault(key, found)
        application.name, application.handle, application.placed_at = found.name, found.handle, now
        application.removed.clear()
        return application

    def _placing_ended(self, key: str, placing: asyncio.Task[ModelApplication]) -> None:
        del self._placing[key]
        if not placing.cancelled():
            # Retrieved, so that asyncio does not log an error for which no request was waiting.
            placing.exception()

    async def _ensure_weights(self, model: ModelRef) -> None:
        """Waits for a replica with the weights. The replica loads adapters itself."""
        for attempt in range(_ATTEMPTS):
            application = await self._place(model)
            try:
                with self._in_use(application):
                    await application.ensure(model.owner, named=model.weights)
                return
            except ReplicaLost as error:
                # If the application was removed because it could not start, the placer has the reason.
                self._retry_or_raise(application, error, is_last=attempt == _ATTEMPTS - 1)

    @contextmanager
    def _in_use(self, application: ModelApplication) -> Iterator[None]:
        """Keeps the placer from removing the application, even during streams and starts that take longer
        than a deployment may be idle."""
        application.users += 1
        if application.touching is None:
            application.touching = asyncio.create_task(self._touch(application))
        try:
            yield
        finally:
            application.users -= 1

    async def _touch(self, application: ModelApplication) -> None:
        await asyncio.sleep(_TOUCH_SECONDS)
        while application.users:
            try:
                # A placer of an earlier release answers None.
                if await self._placer.options(method_name="touch").remote(application.name) is False:
                    application.removed.set()
            except Exception:
                _log.warning("Could not report that %s is in use.", application.name, exc_info=True)
            await asyncio.sleep(_TOUCH_SECONDS)
        application.touching = None

    def _application(self, name: str) -> ModelApplication:
        return ModelApplication(name, self._find(name), time.monotonic())

    async def _report(self, tokens: dict[str, int], refused: list[str]) -> dict[str, str]:
        hot: dict[str, str] = await self._placer.options(method_name="report").remote(tokens, refused)
        return hot


async def _stats_of(application: ModelApplication) -> list[EngineStats]:
    """Returns the application's statistics; empty if it is gone."""
    try:
        # Raises at once if the deployment is gone.
        stats: list[EngineStats] = await application.handle.options(method_name="stats").remote()
    except Exception:
        _log.warning("%s did not return its statistics.", application.name, exc_info=True)
        return []
    return stats


def _key(model: ModelRef) -> str:
    """Returns the deployment's name. Beside its vLLM deployment, a base has another one for what vLLM does
    not run."""
    return f"{model.weights} embedded" if takes_embedded(model) else model.weights
