"""The host's memory that the adapters of one vLLM take. Pure.

vLLM reserves no memory for them: `max_cpu_loras` only limits their number. Bytes are therefore counted
here."""

from cluster.contracts.serving_plan import VllmArguments, VllmPlan
from cluster.serving.limits import EngineLimits

HOST_SHARE = 0.5
"""Share of the free host memory for the adapters of all engines of a node. It is pinned and cannot be
swapped."""


def host_bytes(sizes: VllmArguments, limits: EngineLimits, *, largest: int, free: int) -> int:
    """Returns the bytes that all adapters of an engine may take together, in all its processes: the part of
    the node's share of the `free` memory that corresponds to its devices, at most `limits.adapter_bytes`, and
    at least one adapter of `largest` bytes."""
    devices = sizes.pool.devices if isinstance(sizes, VllmPlan) else sizes.tensor_parallel_size
    share = int(HOST_SHARE * free * sizes.tensor_parallel_size / devices)
    wanted = share if limits.adapter_bytes is None else min(share, limits.adapter_bytes)
    return max(wanted, largest)
