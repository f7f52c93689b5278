"""The entry's models if GPUs serve some of them: small models run in this replica, the others elsewhere."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef
from cluster.serving.deployment.models import ReplicaModels
from cluster.serving.deployment.placement.plans import ServingPlans
from cluster.serving.deployment.placement.remote import RemoteModels
from cluster.serving.deployment.settings import EngineSettings
from cluster.wire.codec import EventChunk

_log = logging.getLogger(__name__)


class SplitModels:
    """Behaves like `ReplicaModels`. vLLM's models have deployments of their own."""

    def __init__(self, settings: EngineSettings, remote: RemoteModels, plans: ServingPlans) -> None:
        self._settings = settings
        self._remote = remote
        self._plans = plans
        self._here: ReplicaModels | None = None
        self._warming: set[asyncio.Task[None]] = set()

    async def warm(self) -> None:
        """Loads the small bases of `warm_bases`, and starts the deployments of the others."""
        catalogue = load_catalogue()
        named = [alias for alias in self._settings.warm_bases.split(",") if alias]
        elsewhere = [
            alias
            for alias in named
            if alias in catalogue and await self._plans.engine(ModelRef(base=catalogue[alias])) == "vllm"
        ]
        here = ",".join(alias for alias in named if alias not in elsewhere)
        self._here = ReplicaModels(self._settings.model_copy(update={"warm_bases": here}))
        await self._here.warm()
        for alias in elsewhere:
            warming = asyncio.create_task(self._warm_elsewhere(ModelRef(base=catalogue[alias])))
            self._warming.add(warming)
            warming.add_done_callback(self._warming.discard)

    async def ensure(self, model: ModelRef, *, load_timeout_seconds: float | None = None) -> None:
        await (await self._of(model)).ensure(model, load_timeout_seconds=load_timeout_seconds)

    async def generate(
        self, request: GenerationRequest, *, load_timeout_seconds: float | None
    ) -> AsyncGenerator[EventChunk, None]:
        models = await self._of(request.model)
        chunks = models.generate(request, load_timeout_seconds=load_timeout_seconds)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def classify(
        self, request: ClassificationRequest, *, load_timeout_seconds: float | None
    ) -> ClassificationAnswer:
        return await self._own.classify(request, load_timeout_seconds=load_timeout_seconds)

    async def embed(
        self, request: EmbeddingRequest, *, load_timeout_seconds: float | None
    ) -> EmbeddingAnswer:
        return await self._own.embed(request, load_timeout_seconds=load_timeout_seconds)

    async def own_stats(self) -> list[EngineStats]:
        """Statistics of the engines in this process."""
        return await self._own.stats()

    async def stats(self) -> list[EngineStats]:
        return [*await self._own.stats(), *await self._remote.stats()]

    async def check(self) -> None:
        await self._own.check()

    async def claim_devices(self, claim: TrainingClaim) -> ClaimAnswer:
        return await self._remote.claim_devices(claim)

    async def names(self) -> list[str]:
        return await self._own.names()

    @property
    def _own(self) -> ReplicaModels:
        assert self._here is not None, "warm comes first"
        return self._here

    async def _of(self, model: ModelRef) -> ReplicaModels | RemoteModels:
        return self._remote if await self._plans.engine(model) == "vllm" else self._own

    async def _warm_elsewhere(self, model: ModelRef) -> None:
        try:
            await self._remote.ensure(model)
        except TuneryError as error:
            _log.error("%s could not be loaded in advance: %s", model.base.alias, error.message)
