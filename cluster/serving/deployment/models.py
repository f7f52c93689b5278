"""Everything that one replica runs: engines, tuned encoders, and their weights on disk."""

from collections.abc import AsyncGenerator

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.generation import EngineStats, GenerationEvent, GenerationRequest, ModelRef
from cluster.serving.classifiers import ClassifierPool
from cluster.serving.deployment.settings import EngineSettings
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
        self._classifiers = ClassifierPool(weights, capacity=settings.models)
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
            if catalogue[alias].architecture == "encoder":
                raise InvalidConfiguration(
                    f"TUNERY_WARM_BASES names {alias}, an encoder, of which only tuned models are served.",
                    param="TUNERY_WARM_BASES",
                )
            await self._engines.keep(ModelRef(base=catalogue[alias]))

    async def ensure(self, model: ModelRef) -> None:
        pool = self._classifiers if model.base.architecture == "encoder" else self._engines
        await pool.ensure(model)

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        return self._engines.generate(request)

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        return await self._classifiers.classify(request)

    async def stats(self) -> list[EngineStats]:
        """Raises Unavailable if an engine can do no more work."""
        return await self._engines.stats()

    async def names(self) -> list[str]:
        """Of the weights and models in memory."""
        return [*await self._engines.names(), *self._classifiers.names()]


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
