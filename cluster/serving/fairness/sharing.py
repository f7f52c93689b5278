"""How the tenants of one engine share its slots and its time. Pure: durations are passed in, no clock is
read.

On a CPU, the time of a decode step grows nearly in proportion to its rows. If every row took part in every
step, a tenant with one sequence beside a flood of thirty would get its tokens as slowly as if it had sent the
flood itself. Rows of tenants that hold more than an equal share therefore skip steps: just enough to keep the
other tenants' tokens at most `_SLOWER` slower than without them. If a full step takes hardly longer, as on a
GPU, they skip none.

A step is "reduced" if those rows skip it, and "full" otherwise.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

_SLOWER = 1 / 3
"""The other tenants may be slower by this share of their time; a third of it is a quarter of the total. The
machine also parses, answers and refuses the flood's requests, which slows the other tenants further. This
value keeps the total below twice as long."""
_OUT_OF_DATE = 32
"""Full steps after which a reduced one is measured again."""
_REMEMBERED = 8
"""Number of reduced steps whose durations are kept; their median counts."""
_NOBODY = frozenset[str]()


@dataclass(frozen=True)
class StepShares:
    """The decision for one step."""

    over_share: frozenset[str]
    """Tenants with more than an equal share of the rows while others have less."""
    skipping: frozenset[str]
    """Tenants whose rows and prompts skip this step: all of those over their share, or none."""
    is_shared: bool
    """Whether other tenants have rows too."""


class StepSharing:
    """Decides at each step whether tenants over their share take part.

    The duration of a step is measured from the end of the previous one, because delivering the tokens of many
    rows takes time too, continues during the next step and slows it. If a reduced step after a full one takes
    longer, the difference is charged to the tenants over their share and is not part of the measurement.
    """

    def __init__(self) -> None:
        self._reduced_seconds: deque[float] = deque(maxlen=_REMEMBERED)
        """Durations of the last reduced steps."""
        self._owed = 0.0
        """Seconds by which the other tenants are behind."""
        self._full_steps = 0
        """Full steps since the last reduced one."""

    def decide(self, held: Mapping[str, int]) -> StepShares:
        """`held` is the number of rows by tenant; tenants with only waiting sequences hold 0."""
        equal = sum(held.values()) / max(1, len(held))
        over = frozenset(tenant for tenant, rows in held.items() if rows > equal)
        if not over or not any(held[tenant] for tenant in held.keys() - over):
            return StepShares(over, _NOBODY, is_shared=False)
        is_full = bool(self._reduced_seconds) and self._owed <= 0 and self._full_steps < _OUT_OF_DATE
        return StepShares(over, _NOBODY if is_full else over, is_shared=True)

    def record_decode(self, shares: StepShares, seconds: float) -> None:
        """Records a decode step that ended `seconds` after the previous one."""
        after_full, self._full_steps = self._full_steps > 0, 0 if shares.skipping else self._full_steps + 1
        too_long = seconds - (1 + _SLOWER) * self._reduced_step_seconds if self._reduced_seconds else 0.0
        if not shares.is_shared:
            # No other tenant was behind, but one that arrives now may have waited for this step.
            self._owed = max(0.0, too_long)
        elif not shares.skipping:
            self._owe(too_long)
        elif self._reduced_seconds or not after_full:
            late = max(0.0, seconds - self._reduced_step_seconds) if after_full else 0.0
            self._reduced_seconds.append(seconds - late)
            self._owe(late - _SLOWER * (seconds - late))

    def record_prefill(self, shares: StepShares, tenants: frozenset[str], seconds: float) -> None:
        """Records a prefill of prompts of these tenants."""
        if shares.is_shared and tenants <= shares.over_share:
            self._owed += seconds

    @property
    def _reduced_step_seconds(self) -> float:
        """Expected duration of a reduced step. The median ignores steps that something else delayed."""
        return median(self._reduced_seconds)

    def _owe(self, seconds: float) -> None:
        self._owed = max(0.0, self._owed + seconds)
