"""When a tenant's queue is full. Both serving backends refuse by it."""

from collections.abc import Mapping


def is_overloaded(waiting: Mapping[str, int], tenant: str, arriving: int, *, max_waiting: int) -> bool:
    """Whether `arriving` more choices are too many: a tenant may have `max_waiting` in the queue, and all
    tenants together four times that, so that a flood fills its own share only."""
    own = waiting.get(tenant, 0) + arriving
    return own > max_waiting or sum(waiting.values()) + arriving > 4 * max_waiting
