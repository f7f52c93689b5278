"""How training and serving divide GPUs that both use."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.scheduling.policy.preemption import fewest
from service.scheduling.policy.snapshot import RunningJob


@dataclass(frozen=True, slots=True)
class Shared:
    """The devices of a pool. Each side always keeps its floor; training gets everything beyond that which
    models do not need."""

    devices: int
    training_floor: int = 0
    serving_floor: int = 0
    needed: int = 0
    """Devices of models that are in use, or that are requested but have no devices yet."""

    @property
    def for_training(self) -> int:
        """The most devices that training may hold."""
        for_serving = max(self.serving_floor, min(self.needed, self.devices - self.training_floor))
        return max(0, self.devices - for_serving)


def give_back(running: Sequence[RunningJob], most: int, at: float) -> list[RunningJob]:
    """Returns the jobs of a pool that must pause so that training holds at most `most` devices: those of the
    lowest priority first, then those that lose the fewest device-seconds since they saved their state.
    Devices of leaving jobs count as returned."""
    staying = [(job, job.workers) for job in running if not job.is_leaving]
    return fewest(staying, sum(workers for _, workers in staying) - most, at) or []
