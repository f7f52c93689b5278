"""How much there may be at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLimits:
    """How much one engine does at once."""

    slots: int = 32
    """Choices that are decoded together; those of `reserved_slots` are beside them."""
    max_waiting: int = 256
    """Choices of one tenant in the queue; a request that would make it longer is refused."""
    adapters: int = 32
    """Adapters in memory."""
    adapter_bytes: int | None = None
    """What they may take together; None is as much as they need."""
    wait_seconds: float = 60.0
    """That a request waits at most for others to make room in memory for its adapter."""
    prefill_tokens: int = 1024
    """Padded prompt tokens between two decodings: more fill the batch sooner, fewer keep streams even."""
