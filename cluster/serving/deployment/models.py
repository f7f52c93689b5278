"""Everything that one replica runs: engines, encoders, and their weights on disk."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef
from cluster.contracts.serving_plan import VllmArguments, VllmPlan
from cluster.niceness import yield_to_others
from cluster.planning.serving import MEMORY_SHARE
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.encoders.pool import EncoderPool
from cluster.serving.engine import Engine
from cluster.serving.limits import EngineLimits
from cluster.serving.residency.load_timeout import LoadTimer, not_ready, time_limit
from cluster.serving.residency.memory import free_bytes, freeze_loaded_objects, total_bytes
from cluster.serving.residency.pool import EngineLoader, EnginePool
from cluster.serving.residency.shared_cache import shared_cache
from cluster.serving.vllm_backend.load import VllmLoader, no_four_bits
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.location import store_from_environment
from cluster.wire.codec import EventChunk, chunk_seconds, encode_stream

_SHARES = {"embedded": 0.8, "vllm": MEMORY_SHARE}
"""The share of free memory that models may use. The rest is for other processes, and for activations and
stacked adapters; vLLM includes those in its own share."""


class ReplicaModels:
    """Any number of models in one process."""

    def __init__(
        self, settings: EngineSettings, *, merges: bool = False, plan: VllmPlan | None = None
    ) -> None:
        """`merges`: merge an adapter into the weights of an engine that runs nothing else; see
        EmbeddedLoader. `plan`: run vLLM on the devices that belong to this process alone."""
        yield_to_others()
        weights = WeightsFolder(settings.cache_dir / "weights", store_from_environment())
        engine = settings.own_engine if plan is None else "vllm"
        # With a plan, the device is not asked, because this process itself must not open it.
        budget = planned_bytes(plan) if plan else settings.bytes or int(_SHARES[engine] * free_bytes())
        cache = shared_cache(
            capacity=settings.models, budget=budget, idle_seconds=settings.idle_seconds or None
        )
        self._load = _TimedEngineLoader(engine_loader(settings, weights, budget, merges=merges, plan=plan))
        self._engines = EnginePool(self._load, cache)
        self._encoders = EncoderPool(weights, cache)
        self._engine = engine
        self._streams = 0
        """Number of answers that are being sent."""
        self._warm_bases = [alias for alias in settings.warm_bases.split(",") if alias]

    async def warm(self) -> None:
        """Loads and pins the bases of `warm_bases`. Raises InvalidConfiguration, and what loading raises."""
        catalogue = load_catalogue()
        for base in catalogue.values():
            if self._engine == "vllm" and base.qlora_served_on == "four_bits":
                raise no_four_bits(base)
        for alias in self._warm_bases:
            if alias not in catalogue:
                raise InvalidConfiguration(
                    f"TUNERY_WARM_BASES names {alias}, which is not in the catalogue.",
                    param="TUNERY_WARM_BASES",
                )
            model = ModelRef(base=catalogue[alias])
            await self._pool_of(model).pin(model)
        freeze_loaded_objects()

    async def ensure(self, model: ModelRef, *, load_timeout_seconds: float | None = None) -> None:
        """Raises Unavailable (`model_not_ready`) if the model is not loaded in time."""
        is_encoder = model.base.architecture == "encoder"
        why = not_ready if is_encoder else self._load.not_ready
        async with time_limit(load_timeout_seconds, partial(why, model)):
            await self._pool_of(model).ensure(model)

    async def generate(
        self, request: GenerationRequest, *, load_timeout_seconds: float | None, parent: str | None = None
    ) -> AsyncGenerator[EventChunk, None]:
        """Yields the encoded events of Engine.generate. `parent` is the `traceparent` of the enclosing span,
        if that is not already active in the caller. Raises Unavailable (`model_not_ready`) if the model is
        not loaded in time."""
        limit = time_limit(load_timeout_seconds, partial(self._load.not_ready, request.model))
        events = self._engines.generate(request, load_limit=limit, parent=parent)
        self._streams += 1
        try:
            chunks = encode_stream(events, interval_seconds=lambda: chunk_seconds(self._streams))
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        finally:
            self._streams -= 1

    async def classify(
        self, request: ClassificationRequest, *, load_timeout_seconds: float | None
    ) -> ClassificationAnswer:
        async with time_limit(load_timeout_seconds, partial(not_ready, request.model)):
            return await self._encoders.classify(request)

    async def embed(
        self, request: EmbeddingRequest, *, load_timeout_seconds: float | None
    ) -> EmbeddingAnswer:
        async with time_limit(load_timeout_seconds, partial(not_ready, request.model)):
            return await self._encoders.embed(request)

    async def stats(self) -> list[EngineStats]:
        return [*await self._engines.stats(), *self._encoders.stats()]

    async def own_stats(self) -> list[EngineStats]:
        """Statistics of the engines in this process."""
        return await self.stats()

    async def check(self) -> None:
        """Raises Unavailable if an engine can no longer work."""
        await self._engines.stats()

    async def claim_devices(self, claim: TrainingClaim) -> ClaimAnswer:
        """Always grants the claim: Ray knows of all devices that this replica has, and gives training other
        ones."""
        return ClaimAnswer(is_granted=True)

    async def names(self) -> list[str]:
        """Returns the names of the weights and models in memory."""
        return [*await self._engines.names(), *self._encoders.names()]

    async def close(self) -> None:
        """Unloads all models once running loads have ended."""
        # The encoders are in the same cache.
        await self._engines.close()

    def _pool_of(self, model: ModelRef) -> EnginePool | EncoderPool:
        return self._encoders if model.base.architecture == "encoder" else self._engines


class _TimedEngineLoader(LoadTimer[Engine]):
    def __init__(self, load: EngineLoader) -> None:
        super().__init__(load)
        self._engine_loader = load

    async def expected_bytes(self, model: ModelRef) -> int:
        return await self._engine_loader.expected_bytes(model)


def planned_bytes(plan: VllmPlan) -> int:
    """Returns the bytes that vLLM allocates, on all its devices."""
    return int(plan.gpu_memory_utilization * plan.pool.bytes_per_worker) * plan.tensor_parallel_size


def engine_loader(
    settings: EngineSettings,
    weights: WeightsFolder,
    budget: int,
    *,
    merges: bool = False,
    plan: VllmPlan | None = None,
) -> EngineLoader:
    """Makes the loader of engines. `budget` is the memory that all models may use together, in bytes."""
    limits = EngineLimits(
        slots=plan.max_num_seqs if plan else settings.slots,
        max_waiting=settings.waiting,
        adapters=settings.adapters,
        # A plan has already reserved device memory for vLLM's adapters. The limit that remains is the host's
        # memory, of which an engine gets a part according to its number of devices.
        adapter_bytes=settings.adapter_bytes or (None if plan else budget // 8),
    )
    if plan is not None:
        return VllmLoader(weights, limits, plan, memory_bytes=budget)
    if settings.own_engine == "embedded":
        return EmbeddedLoader(weights, limits, budget=budget, merges=merges)
    memory_bytes = budget // settings.models
    sizes = VllmArguments(
        gpu_memory_utilization=memory_bytes / total_bytes(),
        max_loras=settings.batch_adapters,
        max_lora_rank=settings.lora_rank,
    )
    return VllmLoader(weights, limits, sizes, memory_bytes=memory_bytes)
