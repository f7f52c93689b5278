"""Limits of one engine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLimits:
    """How much one engine does concurrently."""

    slots: int = 32
    """Maximum number of sequences that are decoded together, besides the `reserved_slots`."""
    max_waiting: int = 256
    """Queued sequences of one tenant; a request that would exceed this is refused."""
    adapters: int = 32
    """Maximum number of adapters in memory."""
    adapter_bytes: int | None = None
    """Memory that all adapters may use together; None is unlimited. For vLLM it is the host's memory, with a
    copy of each adapter in each of its processes."""
    wait_seconds: float = 60.0
    """How long a request waits at most for memory for its adapter."""
    prefill_tokens: int = 1024
    """Padded prompt tokens that are prefilled between two decode steps: a larger value fills the batch
    sooner, a smaller one keeps running streams smoother."""
