"""Decides when a tenant's queue is full. Both serving backends use this rule."""

from collections.abc import Mapping


def is_overloaded(waiting: Mapping[str, int], tenant: str, arriving: int, *, max_waiting: int) -> bool:
    """Whether `arriving` more sequences are too many. A tenant may queue `max_waiting`, and all tenants
    together four times that, so that a flood fills only its own share."""
    own = waiting.get(tenant, 0) + arriving
    return own > max_waiting or sum(waiting.values()) + arriving > 4 * max_waiting
