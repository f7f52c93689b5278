"""All encoders of one replica, tuned or not, loaded on demand."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from cluster.contracts.abilities import check_classifies, check_embeds
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest, ClassificationResult
from cluster.contracts.embedding import MAX_TOKENS, EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import InvalidRequest, Overloaded
from cluster.contracts.generation import EngineStats, ModelRef
from cluster.serving.encoders.encoder import Encoder, TokenizedInput, split_passes
from cluster.serving.encoders.load import expected_bytes, load_encoder
from cluster.serving.residency.shared_cache import CacheView, SharedCache
from cluster.serving.weights.folder import WeightsFolder

T = TypeVar("T")


class EncoderPool:
    """Sends each request to its encoder. An encoder runs one forward pass at a time, in a thread. Requests
    alternate between passes, so that none waits for all passes of a long one. At most `max_waiting` requests
    may use one encoder. Used from one event loop."""

    def __init__(self, weights: WeightsFolder, cache: SharedCache, *, max_waiting: int = 256) -> None:
        """`cache` is closed with the pool."""
        self._weights = weights
        self._max_waiting = max_waiting
        self._encoders: CacheView[_LoadedEncoder] = CacheView("encoder", cache)

    async def pin(self, model: ModelRef) -> None:
        """Loads the encoder and never unloads it."""
        await self._acquire(model)
        self._encoders.pin(model.weights)

    async def ensure(self, model: ModelRef) -> None:
        """Loads the encoder. Raises InvalidRequest if the model is not an encoder, and what fetching the
        weights raises."""
        await self._acquire(model)
        self._encoders.release(model.weights)

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        """Classifies inputs. Raises InvalidRequest if the model is not a tuned encoder or the inputs do not
        suit it, ContextLengthExceeded, Overloaded, and what `ensure` raises."""
        check_classifies(request.model)
        async with self._use(request.model) as loaded:
            encoder = loaded.encoder
            encoder.check_input_kind(request.inputs)
            tokenized = await loaded.run(encoder.tokenize, request.inputs)
            rows = await loaded.run_in_passes(encoder.classify, tokenized)
        results = [
            ClassificationResult(logprobs=found, prompt_tokens=len(item.token_ids))
            for found, item in zip(rows, tokenized, strict=True)
        ]
        return ClassificationAnswer(classes=encoder.classes, results=results)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Embeds inputs. Raises InvalidRequest if the model is not an encoder, for more dimensions than it
        has or more tokens than a request may have, ContextLengthExceeded, Overloaded, InvalidConfiguration if
        the base's pooling is not supported, and what `ensure` raises."""
        async with self._use(request.model) as loaded:
            encoder = loaded.encoder
            if request.dimensions is not None and request.dimensions > encoder.width:
                raise InvalidRequest(
                    f"This model makes {encoder.width} dimensions; {request.dimensions} are too many.",
                    param="dimensions",
                )
            tokenized = await loaded.run(partial(encoder.tokenize, most_tokens=MAX_TOKENS), request.inputs)
            vectors = await loaded.run_in_passes(
                partial(encoder.embed, dimensions=request.dimensions), tokenized
            )
        embeddings = [base64.b64encode(vector).decode() for vector in vectors]
        num_tokens = sum(len(item.token_ids) for item in tokenized)
        return EmbeddingAnswer(embeddings=embeddings, prompt_tokens=num_tokens)

    def stats(self) -> list[EngineStats]:
        """Returns statistics. A request counts as running during a forward pass, otherwise as waiting."""
        return [
            loaded.stats().model_copy(update={"load_seconds": self._encoders.load_seconds(weights)})
            for weights, loaded in self._encoders.loaded.items()
        ]

    def names(self) -> list[str]:
        """The names of the weights in memory."""
        return list(self._encoders.loaded)

    async def close(self) -> None:
        await self._encoders.close()

    @asynccontextmanager
    async def _use(self, model: ModelRef) -> AsyncGenerator["_LoadedEncoder"]:
        loaded = await self._acquire(model)
        try:
            if loaded.num_requests >= self._max_waiting:
                raise Overloaded("Too many requests are waiting for this model; try again.")
            loaded.num_requests += 1
            try:
                yield loaded
            finally:
                loaded.num_requests -= 1
        finally:
            self._encoders.release(model.weights)

    async def _acquire(self, model: ModelRef) -> "_LoadedEncoder":
        _check_served(model)
        weights, expects_bytes = model.weights, 0
        if weights not in self._encoders:
            expects_bytes = await asyncio.to_thread(expected_bytes, model.base)
        return await self._encoders.acquire(weights, partial(self._open, model), expects_bytes=expects_bytes)

    async def _open(self, model: ModelRef) -> "_LoadedEncoder":
        return _LoadedEncoder(model, await asyncio.to_thread(load_encoder, self._weights, model))


class _LoadedEncoder:
    """An encoder and the lock for its forward passes."""

    def __init__(self, model: ModelRef, encoder: Encoder) -> None:
        self._model = model
        self.encoder = encoder
        self.num_requests = 0
        self._lock = asyncio.Lock()
        """Lock that is acquired in order of arrival."""

    @property
    def num_bytes(self) -> int:
        return self.encoder.num_bytes

    def stats(self) -> EngineStats:
        running = int(self._lock.locked())
        return EngineStats(
            base=self._model.base.alias,
            running=running,
            waiting=self.num_requests - running,
            slots=1,
            adapters=[self._model.adapter.digest] if self._model.adapter else [],
            generated_tokens=0,
            reserved_bytes=self.num_bytes,
            weight_bytes=self.num_bytes,
        )

    async def close(self) -> None:
        # So that a caller that still refers to this object keeps no weights in memory.
        del self.encoder

    async def run_in_passes(
        self,
        compute: Callable[[Sequence[TokenizedInput]], Sequence[T]],
        tokenized: Sequence[TokenizedInput],
    ) -> list[T]:
        """Returns what `compute` returns for each input. Takes the lock separately for each forward pass."""
        found: dict[int, T] = {}
        for indices in split_passes(tokenized):
            made = await self.run(compute, [tokenized[index] for index in indices])
            found.update(zip(indices, made, strict=True))
        return [found[index] for index in range(len(tokenized))]

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Runs `work` in a thread, which cannot be stopped: a cancelled caller waits for it, so that the
        encoder is free for the next one."""
        async with self._lock:
            working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
            try:
                return await asyncio.shield(working)
            finally:
                # There may be several cancellations, such as a timeout followed by a disconnect.
                while not working.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([working])


def _check_served(model: ModelRef) -> None:
    check_embeds(model)
    if model.adapter is not None and model.adapter.form != "full":
        raise InvalidRequest(
            f"A tuned encoder must be of form 'full', and this one is of form '{model.adapter.form}'.",
            param="model",
        )
