"""The protocol that every serving backend implements."""

from collections.abc import AsyncGenerator
from typing import Protocol

from cluster.contracts.generation import EngineStats, GenerationEvent, GenerationRequest, ModelRef


class Engine(Protocol):
    """Runs one base model, and any number of adapters tuned from it, for many requests at once.

    All methods are called from the event loop that created the engine. They raise errors of
    `cluster.contracts.errors` where they are awaited:

    - InvalidRequest: the request can never work on this base, or the adapter does not fit it.
      ContextLengthExceeded, with the numbers, if prompt and completion are too long together.
    - NotFound: the adapter's files are not in storage.
    - CorruptArtefact: stored bytes differ from their digests, or the weights give non-finite numbers.
    - Overloaded: the bounded queue is full; no part of the request was executed.
    - Unavailable: storage does not answer, or the engine failed or was closed during the request.
    """

    @property
    def num_bytes(self) -> int:
        """Device memory that the engine may use at most: weights, adapters, and full slots."""
        ...

    async def ensure(self, model: ModelRef) -> None:
        """Returns once `model` is loaded, so that its next request does not wait for that.

        Idempotent; concurrent calls share one load. This is not a reservation: an unused model may be
        unloaded to make room for another, and the next request that names it loads it again.
        """
        ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Yields the events of one request: a PromptEvent, then for each of the n choices TextEvents,
        ToolCallEvents and one FinishEvent. Choices are interleaved in any order.

        Errors that prevent the request from being accepted are raised before the first event. A later error
        ends this stream only. Loads the model first if necessary, without blocking other requests; a model in
        use is never unloaded. Closing the generator cancels the request,
        whose slots are free within two decoding steps.

        The texts of a choice, joined in order, are its whole text: without special tokens, stop strings or
        partial characters. With a seed, a choice is sampled from (seed, index) alone, whatever else runs.
        """
        ...

    async def stats(self) -> EngineStats:
        """Raises Unavailable if the engine was closed or cannot work any more; a supervisor then replaces
        it."""
        ...

    async def close(self) -> None:
        """Ends running requests with Unavailable and frees the engine's memory. Idempotent."""
        ...
