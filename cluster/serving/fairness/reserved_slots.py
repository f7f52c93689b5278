"""Slots held back for tenants that have few or none, so that a flood never fills an engine completely."""

_SLOTS_PER_RESERVED = 8


def reserved_slots(slots: int) -> int:
    """Returns the number of reserved slots of an engine with `slots` ordinary ones."""
    return slots // _SLOTS_PER_RESERVED


def most_slots(rows: int) -> int:
    """Returns the largest number of ordinary slots that, together with their reserved ones, take at most
    `rows`."""
    return (_SLOTS_PER_RESERVED * rows + _SLOTS_PER_RESERVED - 1) // (_SLOTS_PER_RESERVED + 1)
