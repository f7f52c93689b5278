"""How training and serving divide GPUs that both use."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.scheduling.policy.preemption import fewest
from service.scheduling.policy.snapshot import RunningJob


@dataclass(frozen=True, slots=True)
class Shared:
    """The devices of a pool. Each side always keeps its floor; what models do not need beyond theirs is
    training's."""

    devices: int
    training_floor: int = 0
    serving_floor: int = 0
    needed: int = 0
    """Devices of models that are in use, or were asked for but have none."""

    @property
    def for_training(self) -> int:
        """The most devices that training may hold."""
        for_serving = max(self.serving_floor, min(self.needed, self.devices - self.training_floor))
        return max(0, self.devices - for_serving)


def give_back(running: Sequence[RunningJob], most: int, at: float) -> list[RunningJob]:
    """The jobs of a pool that pause so that training holds `most` devices at most: first those of the lowest
    priority, then those that lose the fewest device-seconds since they saved their state. Devices of those
    that are leaving count as given back."""
    staying = [(job, job.workers) for job in running if not job.is_leaving]
    return fewest(staying, sum(workers for _, workers in staying) - most, at) or []
