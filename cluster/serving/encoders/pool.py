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
from cluster.serving.encoders.encoder import Encoder, Reading, split_passes
from cluster.serving.encoders.load import expected_bytes, load_encoder
from cluster.serving.residency.residents import Memory, Residents
from cluster.serving.weights.folder import WeightsFolder

T = TypeVar("T")


class EncoderPool:
    """Sends each request to the encoder that it names. Each runs one forward pass at a time, in a thread;
    requests take turns at that, so that none waits for all of a long one. At most `max_waiting` are at one
    encoder. Used from one event loop."""

    def __init__(self, weights: WeightsFolder, memory: Memory, *, max_waiting: int = 256) -> None:
        """`memory` is closed with it."""
        self._weights = weights
        self._max_waiting = max_waiting
        self._desks: Residents[_Desk] = Residents("encoder", memory)

    async def keep(self, model: ModelRef) -> None:
        """Loads the encoder and never unloads it."""
        await self._borrow(model)
        self._desks.keep(model.weights)

    async def ensure(self, model: ModelRef) -> None:
        """Loads the encoder. Raises InvalidRequest unless it is one, and what fetching the weights raises."""
        await self._borrow(model)
        self._desks.give_back(model.weights)

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        """Raises InvalidRequest if the model is no tuned encoder or the inputs do not suit it,
        ContextLengthExceeded, Overloaded, and what `ensure` raises."""
        check_classifies(request.model)
        async with self._desk(request.model) as desk:
            encoder = desk.encoder
            encoder.check_sorts(request.inputs)
            readings = await desk.run(encoder.read, request.inputs)
            rows = await desk.in_passes(encoder.classify, readings)
        results = [
            ClassificationResult(logprobs=found, prompt_tokens=len(reading.token_ids))
            for found, reading in zip(rows, readings, strict=True)
        ]
        return ClassificationAnswer(classes=encoder.classes, results=results)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Raises InvalidRequest if the model is no encoder, for more dimensions than it has or more tokens
        than a request may have, ContextLengthExceeded, Overloaded, InvalidConfiguration if the base's vectors
        are made in a way that is not known here, and what `ensure` raises."""
        async with self._desk(request.model) as desk:
            encoder = desk.encoder
            if request.dimensions is not None and request.dimensions > encoder.width:
                raise InvalidRequest(
                    f"This model makes {encoder.width} dimensions; {request.dimensions} are too many.",
                    param="dimensions",
                )
            readings = await desk.run(partial(encoder.read, most_tokens=MAX_TOKENS), request.inputs)
            vectors = await desk.in_passes(partial(encoder.embed, dimensions=request.dimensions), readings)
        embeddings = [base64.b64encode(vector).decode() for vector in vectors]
        num_tokens = sum(len(reading.token_ids) for reading in readings)
        return EmbeddingAnswer(embeddings=embeddings, prompt_tokens=num_tokens)

    def stats(self) -> list[EngineStats]:
        """A request counts as running while it is at a forward pass, and for the others as waiting."""
        return [
            desk.stats().model_copy(update={"load_seconds": self._desks.load_seconds(weights)})
            for weights, desk in self._desks.loaded.items()
        ]

    def names(self) -> list[str]:
        """Of the weights in memory."""
        return list(self._desks.loaded)

    async def close(self) -> None:
        await self._desks.close()

    @asynccontextmanager
    async def _desk(self, model: ModelRef) -> AsyncGenerator["_Desk"]:
        desk = await self._borrow(model)
        try:
            if desk.num_requests >= self._max_waiting:
                raise Overloaded("Too many requests wait for this model; try again.")
            desk.num_requests += 1
            try:
                yield desk
            finally:
                desk.num_requests -= 1
        finally:
            self._desks.give_back(model.weights)

    async def _borrow(self, model: ModelRef) -> "_Desk":
        _check_served(model)
        weights, expects_bytes = model.weights, 0
        if weights not in self._desks:
            expects_bytes = await asyncio.to_thread(expected_bytes, model.base)
        return await self._desks.borrow(weights, partial(self._open, model), expects_bytes=expects_bytes)

    async def _open(self, model: ModelRef) -> "_Desk":
        return _Desk(model, await asyncio.to_thread(load_encoder, self._weights, model))


class _Desk:
    """An encoder and the turns at it."""

    def __init__(self, model: ModelRef, encoder: Encoder) -> None:
        self._model = model
        self.encoder = encoder
        self.num_requests = 0
        self._turn = asyncio.Lock()
        """Handed on in the order of asking."""

    @property
    def num_bytes(self) -> int:
        return self.encoder.num_bytes

    def stats(self) -> EngineStats:
        running = int(self._turn.locked())
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
        # Who holds the desk still holds no weights.
        del self.encoder

    async def in_passes(
        self, compute: Callable[[Sequence[Reading]], Sequence[T]], readings: Sequence[Reading]
    ) -> list[T]:
        """What `compute` makes of each reading, with a turn for each forward pass."""
        found: dict[int, T] = {}
        for places in split_passes(readings):
            made = await self.run(compute, [readings[place] for place in places])
            found.update(zip(places, made, strict=True))
        return [found[place] for place in range(len(readings))]

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """A thread cannot be stopped: who goes away waits for it, so that the next one finds the encoder
        free."""
        async with self._turn:
            working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
            try:
                return await asyncio.shield(working)
            finally:
                # However often it is told to go away: by a limit of time, and then by a lost connection.
                while not working.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([working])


def _check_served(model: ModelRef) -> None:
    check_embeds(model)
    if model.adapter is not None and model.adapter.form != "full":
        raise InvalidRequest(
            f"A tuned encoder is served in its full form, and this one is of form '{model.adapter.form}'.",
            param="model",
        )
