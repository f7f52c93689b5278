"""How the tenants of one engine share its slots and its time. Pure: told how long steps took, reads no clock.

A step with many rows takes longer than one with few, on a CPU nearly in proportion. Were every row part of
every step, who asks for one answer beside a flood of thirty would get its tokens as slowly as if it had sent
all of them itself. So rows of tenants beyond their share sit out steps: just so many that the others' tokens
come at most `_SLOWER` slower than without them. Where a full step takes hardly longer, as on a GPU, they sit
out none.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

_SLOWER = 1 / 3
"""A third of the others' time is a quarter of all. Where one machine also reads, answers and refuses a
flood's requests, that slows the others too: this leaves room for it below twice as long."""
_OUT_OF_DATE = 32
"""Steps together after which one apart is timed anew."""
_REMEMBERED = 8
"""Steps apart, of which the median counts."""
_NOBODY = frozenset[str]()


@dataclass(frozen=True)
class StepShares:
    """A moment's decision."""

    over_share: frozenset[str]
    """Tenants with more than an equal share of the rows, where others have less."""
    skipping: frozenset[str]
    """Those of them whose rows and prompts have to wait now: all or none."""
    is_shared: bool
    """Others have rows beside them."""


class StepSharing:
    """Decides at each step whether tenants beyond their share take part.

    What a step takes is counted from the end of the one before: handing out the tokens of many rows takes
    time too, and goes on beside the next step, which takes longer for it. What a step apart takes longer in
    the wake of one together is charged to those beyond their share, and is no part of what it takes itself.
    """

    def __init__(self) -> None:
        self._steps_apart: deque[float] = deque(maxlen=_REMEMBERED)
        """Seconds of the last steps without them."""
        self._owed = 0.0
        """Seconds by which the others are behind."""
        self._together = 0
        """Steps since the last one apart."""

    def decide(self, held: Mapping[str, int]) -> StepShares:
        """By the rows that each tenant holds; those that only wait hold none."""
        equal = sum(held.values()) / max(1, len(held))
        beyond = frozenset(tenant for tenant, rows in held.items() if rows > equal)
        if not beyond or not any(held[tenant] for tenant in held.keys() - beyond):
            return StepShares(beyond, _NOBODY, is_shared=False)
        lets_all_in = bool(self._steps_apart) and self._owed <= 0 and self._together < _OUT_OF_DATE
        return StepShares(beyond, _NOBODY if lets_all_in else beyond, is_shared=True)

    def record_decode(self, shares: StepShares, seconds: float) -> None:
        """A token for every row but of those that sat out, `seconds` after the one before."""
        in_wake, self._together = self._together > 0, 0 if shares.skipping else self._together + 1
        too_long = seconds - (1 + _SLOWER) * self._apart if self._steps_apart else 0.0
        if not shares.is_shared:
            # Nobody else was behind; but who comes now may have waited for this one.
            self._owed = max(0.0, too_long)
        elif not shares.skipping:
            self._owe(too_long)
        elif self._steps_apart or not in_wake:
            late = max(0.0, seconds - self._apart) if in_wake else 0.0
            self._steps_apart.append(seconds - late)
            self._owe(late - _SLOWER * (seconds - late))

    def record_prefill(self, shares: StepShares, tenants: frozenset[str], seconds: float) -> None:
        """Prompts of these tenants."""
        if shares.is_shared and tenants <= shares.over_share:
            self._owed += seconds

    @property
    def _apart(self) -> float:
        """Seconds of a step without them. One that was held up by something else is no measure of the next,
        which is why it is the median."""
        return median(self._steps_apart)

    def _owe(self, seconds: float) -> None:
        self._owed = max(0.0, self._owed + seconds)
