"""What Tunery asks of anything that runs a model: one narrow protocol, whatever is behind it."""

from collections.abc import AsyncGenerator
from typing import Protocol

from cluster.contracts.generation import EngineStats, GenerationEvent, GenerationRequest, ModelRef


class Engine(Protocol):
    """Runs one base model, and any number of adapters that were tuned from it, for many requests at once.

    All methods are called from the event loop that the engine was made in. Errors are those of
    `cluster.contracts.errors`, raised where they are awaited:

    - InvalidRequest: the request can never work on this base, or the adapter does not fit it;
      ContextLengthExceeded, which names the numbers, if prompt and completion are too long.
    - NotFound: the adapter's files are not in storage.
    - CorruptArtefact: stored bytes differ from their digests, or the weights give no finite numbers.
    - Overloaded: the bounded queue is full; nothing of the request was done.
    - Unavailable: storage does not answer, or the engine failed or was closed with the request under way.
    """

    @property
    def num_bytes(self) -> int:
        """Of the device's memory, that it may come to take: weights, adapters, and full slots."""
        ...

    async def ensure(self, model: ModelRef) -> None:
        """Returns once `model` is loaded, so that its next request need not wait for that.

        Idempotent, and one load however many ask at once. It is not a reservation: a model that nothing uses
        may be unloaded to make room for another, and is loaded again by the request that names it.
        """
        ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """The events of one request as they come: a PromptEvent, then for each of the n choices TextEvents,
        ToolCallEvents and one FinishEvent, choices interleaved in any order.

        Raises before the first event whatever keeps the request from being accepted; a later error ends the
        stream and concerns this request alone. Loads the model first if need be, without holding up other
        requests, and a model in use is never unloaded. Closing the generator cancels the request,
        whose slots are free within two decoding steps.

        Texts joined in order are the choice's whole text: no special tokens, no stop string, no part of a
        character. With a seed, the draws of a choice depend on (seed, index) alone and not on what else runs.
        """
        ...

    async def stats(self) -> EngineStats:
        """Raises Unavailable if the engine was closed or can do no more work, which is how a supervisor sees
        that it must be replaced."""
        ...

    async def close(self) -> None:
        """Ends what is under way with Unavailable and frees the engine's memory. Idempotent."""
        ...
