"""Describes sizes of memory in words, for refusals."""

from collections.abc import Mapping

_GB = 1e9
_NAMED_SHARE = 1 / 20
"""Smaller parts of the memory are not named."""


def size(size_bytes: float) -> str:
    return f"{size_bytes / _GB:.0f} GB" if size_bytes >= 10 * _GB else f"{size_bytes / _GB:.2g} GB"


def need(count: int, memory: Mapping[str, int], *, usable: float, of: str = "device memory") -> str:
    """Describes needed memory, such as "8 x 71 GB of device memory (weights 35.3, optimizer 21.2, and 8% to
    spare)". `memory` is what each of `count` devices needs, by purpose; `usable` is the share of a device
    that a plan may take."""
    total = sum(memory.values())
    named = ", ".join(
        f"{name.replace('_', ' ')} {part / _GB:.1f}"
        for name, part in memory.items()
        if part >= total * _NAMED_SHARE
    )
    return f"{count} x {size(total / usable)} of {of} ({named}, and {1 - usable:.0%} to spare)"
