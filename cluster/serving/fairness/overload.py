"""Decides when a tenant's queue is full. Both serving backends use this rule."""

from collections.abc import Mapping

_TENANTS = 4


def most_waiting(max_waiting: int) -> int:
    """Sequences of all tenants that may wait together, if one tenant may queue `max_waiting`."""
    return _TENANTS * max_waiting


def is_overloaded(waiting: Mapping[str, int], tenant: str, arriving: int, *, max_waiting: int) -> bool:
    """Whether `arriving` more sequences are too many. A tenant may queue `max_waiting`, and all tenants
    together four times that, so that a flood fills only its own share."""
    own = waiting.get(tenant, 0) + arriving
    return own > max_waiting or sum(waiting.values()) + arriving > most_waiting(max_waiting)
