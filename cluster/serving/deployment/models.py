"""Everything that one replica runs: engines, encoders, and their weights on disk."""

from collections.abc import AsyncGenerator

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.generation import EngineStats, GenerationEvent, GenerationRequest, ModelRef
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.encoders import EncoderPool
from cluster.serving.job import Limits
from cluster.serving.load import EmbeddedLoader
from cluster.serving.pool import EnginePool, LoadEngine
from cluster.serving.vllm_backend.load import VllmLoader, VllmOptions
from cluster.serving.weights import WeightsFolder
from cluster.storage.location import store_from_environment


class Models:
    """Any number of models, in one process."""

    def __init__(self, settings: EngineSettings) -> None:
        weights = WeightsFolder(settings.cache_dir / "weights", store_from_environment())
        self._engines = EnginePool(engine_loader(settings, weights), capacity=settings.models)
        self._encoders = EncoderPool(weights, capacity=settings.models)
        self._warm_bases = [alias for alias in settings.warm_bases.split(",") if alias]

    async def warm(self) -> None:
        """Loads the bases that are kept. Raises InvalidConfiguration, and what loading raises."""
        catalogue = load_catalogue()
        for alias in self._warm_bases:
            if alias not in catalogue:
                raise InvalidConfiguration(
                    f"TUNERY_WARM_BASES names {alias}, which is not in the catalogue.",
                    param="TUNERY_WARM_BASES",
                )
            model = ModelRef(base=catalogue[alias])
            await self._pool_of(model).keep(model)

    async def ensure(self, model: ModelRef) -> None:
        await self._pool_of(model).ensure(model)

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        return self._engines.generate(request)

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        return await self._encoders.classify(request)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        return await self._encoders.embed(request)

    async def stats(self) -> list[EngineStats]:
        """Raises Unavailable if an engine can do no more work."""
        return await self._engines.stats()

    async def names(self) -> list[str]:
        """Of the weights and models in memory."""
        return [*await self._engines.names(), *self._encoders.names()]

    def _pool_of(self, model: ModelRef) -> EnginePool | EncoderPool:
        return self._encoders if model.base.architecture == "encoder" else self._engines


def engine_loader(settings: EngineSettings, weights: WeightsFolder) -> LoadEngine:
    limits = Limits(
        slots=settings.slots,
        max_waiting=settings.waiting,
        adapters=settings.adapters,
        adapter_bytes=settings.adapter_bytes or None,
    )
    if settings.engine == "embedded":
        return EmbeddedLoader(weights, limits)
    options = VllmOptions(
        # A tenth is left to what is not vLLM's.
        memory_share=0.9 / settings.models,
        batch_adapters=settings.batch_adapters,
        lora_rank=settings.lora_rank,
    )
    return VllmLoader(weights, limits, options)
