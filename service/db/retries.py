"""How often, and after what pauses, a job is tried again after a fault of the platform."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_faults: int = 3
    """Faults without any progress between them that end a job."""
    first_seconds: float = 2.0
    max_seconds: float = 60.0

    def pause_seconds(self, faults: int) -> float:
        """Before the next try, after so many faults in a row (from 1): each pause is twice the one before."""
        # Beyond 2**60 the power may overflow; no pause is that long.
        return min(self.max_seconds, self.first_seconds * 2.0 ** min(faults - 1, 60))
