"""Finds pools that do not grow although jobs wait for their nodes, because the cloud has none or its quota is
used up."""

from collections.abc import Collection, Mapping

from service.scheduling.policy.placement import STALLED_SECONDS


class Growth:
    """Remembers for each pool how many nodes it has had since jobs wait for more. Times are in seconds of any
    clock."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[int, float]] = {}
        """The most nodes that each pool has had since, and when it had so many first."""

    def update(self, wanted: Collection[str], nodes: Mapping[str, int], at: float) -> None:
        """Notes that jobs wait for nodes of the pools `wanted`, and how many nodes each pool has."""
        before, self._waits = self._waits, {}
        for pool in wanted:
            count = nodes.get(pool, 0)
            most, since = before.get(pool, (count, at))
            self._waits[pool] = (count, at) if count > most else (most, since)

    def is_stalled(self, pool: str, at: float) -> bool:
        """Whether no node has joined the pool for STALLED_SECONDS, in which jobs waited for one."""
        wait = self._waits.get(pool)
        return wait is not None and at - wait[1] >= STALLED_SECONDS
