"""How often, and after which pauses, operations are retried after platform faults."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_faults: int = 3
    """The job fails after this number of faults without any progress between them."""
    first_seconds: float = 2.0
    max_seconds: float = 60.0

    def pause_seconds(self, faults: int) -> float:
        """The pause before the next attempt after `faults` faults in a row (from 1). Each is twice the one
        before."""
        return _backoff_seconds(faults, self.first_seconds, self.max_seconds)


@dataclass(frozen=True, slots=True)
class PublishPolicy:
    """How long, and after which pauses, publishing a trained model is retried."""

    timeout_seconds: float = 7 * 86_400.0
    first_seconds: float = 2.0
    max_seconds: float = 900.0

    def pause_seconds(self, tries: int) -> float:
        """The pause after `tries` tries (from 1). Each is twice the one before."""
        return _backoff_seconds(tries, self.first_seconds, self.max_seconds)


def _backoff_seconds(times: int, first: float, longest: float) -> float:
    # Beyond 2**60 the power may overflow; no pause is that long.
    return min(longest, first * 2.0 ** min(times - 1, 60))
