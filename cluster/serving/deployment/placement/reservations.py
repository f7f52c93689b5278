"""Tracks which GPUs the models' own deployments have reserved, and chooses which of them make room for
another one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cluster.contracts.serving_plan import VllmPlan

IN_USE_SECONDS = 120.0
"""A deployment that has been in use within this time is not removed for another base. Entries report new
requests at least once a minute, and open ones and starts every half minute."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """GPUs of a pool that an application reserves. They are read from its name, so a placer that has just
    started knows them too."""

    pool: str
    devices: int

    @staticmethod
    def of(plan: VllmPlan, *, replicas: int) -> "Reservation":
        return Reservation(plan.pool.name, plan.tensor_parallel_size * that_fit(plan, replicas))

    @staticmethod
    def read(name: str) -> "Reservation | None":
        """Reads a reservation from an application's name. None for an application without GPUs."""
        before, _, devices = name.rpartition("-gpus-")
        pool = before.partition("-on-")[2]
        return Reservation(pool, int(devices)) if pool and devices.isdecimal() else None

    @property
    def suffix(self) -> str:
        return f"-on-{self.pool}-gpus-{self.devices}"


def that_fit(plan: VllmPlan, replicas: int) -> int:
    """Returns the number of replicas for which the pool has room, at most `replicas`. All GPUs of a replica
    are on one node."""
    return min(replicas, plan.pool.nodes * (plan.pool.devices // plan.tensor_parallel_size))


def superfluous(
    used: Mapping[str, float], wanted: Reservation, *, devices: int, now: float, idle_seconds: float
) -> list[str] | None:
    """Returns the applications of `used` (name -> time of the last use) to remove, so that `wanted` fits into
    the pool's `devices`: those that have been unused for longest, and for at least `idle_seconds`. None if
    that is not enough."""
    missing = wanted.devices + reserved(used, wanted.pool) - devices
    removed = []
    for name, reservation in _oldest_first(used, wanted.pool):
        if missing <= 0 or now - used[name] < idle_seconds:
            break
        removed.append(name)
        missing -= reservation.devices
    return removed if missing <= 0 else None


def reserved(used: Mapping[str, float], pool: str) -> int:
    """Returns the devices that applications of `used` have in the pool."""
    return sum(reservation.devices for _, reservation in _oldest_first(used, pool))


def _oldest_first(used: Mapping[str, float], pool: str) -> Iterator[tuple[str, Reservation]]:
    for name in sorted(used, key=used.__getitem__):
        reservation = Reservation.read(name)
        if reservation is not None and reservation.pool == pool:
            yield name, reservation
