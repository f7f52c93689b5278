"""How often, and after which pauses, a job is retried after a platform fault."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_faults: int = 3
    """Number of faults without any progress between them that fails a job."""
    first_seconds: float = 2.0
    max_seconds: float = 60.0

    def pause_seconds(self, faults: int) -> float:
        """The pause before the next attempt after `faults` faults in a row (from 1). Each is twice the one
        before."""
        # Beyond 2**60 the power may overflow; no pause is that long.
        return min(self.max_seconds, self.first_seconds * 2.0 ** min(faults - 1, 60))
