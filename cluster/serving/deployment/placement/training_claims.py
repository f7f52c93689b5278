"""GPUs that models share with training: what jobs have claimed, and what models need."""

from collections.abc import Mapping, Sequence

from cluster.contracts.devices import TrainingClaim
from cluster.contracts.serving_plan import ServingPool
from cluster.serving.deployment.placement.reservations import IN_USE_SECONDS, Reservation, reserved

_CLAIM_SECONDS = 60.0
"""How long a claim of training counts, because the scheduler that made it may be gone."""


class TrainingClaims:
    """Records claims and refusals. Times are monotonic."""

    def __init__(self, pools: Sequence[ServingPool]) -> None:
        self._pools = [pool for pool in pools if pool.kind == "cuda"]
        self._claimed: dict[str, tuple[int, float]] = {}
        """Devices and time of the newest claim, by pool."""
        self._refused: dict[str, float] = {}
        """Applications that found no room, and when."""

    def pool_of(self, claim: TrainingClaim) -> ServingPool | None:
        """Returns the pool that has the claim's nodes; None if they are not in a pool of the models."""
        if claim.labels is None:
            return next(iter(self._pools), None)
        return next((pool for pool in self._pools if pool.selector == claim.labels), None)

    def claim(self, pool: ServingPool, devices: int, now: float) -> bool:
        """Whether training may have this many devices: some always belong to the models."""
        most = pool.all_devices - pool.floor
        self._claimed[pool.name] = (min(devices, most), now)
        return devices <= most

    def claimed(self, pool: str, now: float) -> int:
        devices, at = self._claimed.get(pool, (0, now))
        return devices if now - at < _CLAIM_SECONDS else 0

    def refuse(self, name: str, now: float) -> None:
        """Remembers for a while that an application has found no room."""
        self._refused[name] = now

    def admit(self, name: str) -> None:
        self._refused.pop(name, None)

    def needed(self, used: Mapping[str, float], pool: ServingPool, now: float) -> int:
        """Returns the devices of the applications of `used` (name -> time of the last use) that are in use,
        and of those that have found no room."""
        self._refused = {name: at for name, at in self._refused.items() if now - at < IN_USE_SECONDS}
        in_use = {name: at for name, at in used.items() if now - at < IN_USE_SECONDS}
        return min(pool.all_devices, reserved({**in_use, **self._refused}, pool.name))


def has_pool(name: str, pool: str) -> bool:
    """Whether the application has devices of the pool."""
    reservation = Reservation.read(name)
    return reservation is not None and reservation.pool == pool
