"""Decides whose request goes to the engine next. Pure: uses neither a clock nor an event loop.

Implements the Virtual Token Counter of "Fairness in Serving Large Language Models" (Sheng et al., OSDI 2024,
https://arxiv.org/abs/2401.00588). Every tenant has a counter of the tokens it was served, and the waiting
tenant with the smallest counter goes next. The counter of a tenant that starts to wait is raised to the
smallest counter of those already waiting, so that being away earns no credit."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

PROMPT_TOKEN_COST = 1.0
GENERATED_TOKEN_COST = 2.0
"""The paper's weights: the tokens of a prompt are computed together, generated tokens one step at a time."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Limits in choices: a request for `n` choices counts n times, as it takes n of the engine's slots."""

    max_running: int
    """Choices that run at the engine. A larger request runs alone."""
    max_waiting_per_tenant: int
    max_waiting: int

    @property
    def num_reserved(self) -> int:
        """The last eighth of `max_running`, reserved for tenants that run at most that many choices, so that
        a new tenant need not wait for one of a busy tenant's requests to finish."""
        return self.max_running // 8


@dataclass(eq=False, slots=True)
class Turn:
    """One request's passage through the queue and the engine."""

    tenant: str
    num_choices: int


class FairQueue:
    """Queues turns, and admits them in ascending order of what their tenants have been charged."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._waiting: dict[str, deque[Turn]] = {}
        """Turns by tenant, oldest first. Only tenants that are waiting have an entry."""
        self._running: set[Turn] = set()
        self._num_running: Counter[str] = Counter()
        self._costs: dict[str, float] = {}
        self._last_admitted = ""

    def num_waiting(self, tenant: str | None = None) -> int:
        """The number of waiting choices, of one tenant or of all."""
        queues = self._waiting.values() if tenant is None else [self._waiting.get(tenant, ())]
        return sum(turn.num_choices for queue in queues for turn in queue)

    def num_running(self) -> int:
        """The number of running choices, of all tenants."""
        return self._num_running.total()

    @property
    def num_waiting_tenants(self) -> int:
        return len(self._waiting)

    @property
    def is_empty(self) -> bool:
        return not self._waiting and not self._running

    def exceeded(self, turn: Turn) -> Literal["tenant", "all"] | None:
        """Returns which limit on waiting choices keeps this turn from joining, or None."""
        if not self._waiting and self._has_room(turn):
            return None
        if self.num_waiting(turn.tenant) + turn.num_choices > self._limits.max_waiting_per_tenant:
            return "tenant"
        if self.num_waiting() + turn.num_choices > self._limits.max_waiting:
            return "all"
        return None

    def join(self, turn: Turn) -> None:
        if turn.tenant not in self._waiting:
            last = self._costs.get(self._last_admitted, 0.0)
            smallest = min((self._costs[tenant] for tenant in self._waiting), default=last)
            self._costs[turn.tenant] = max(self._costs.get(turn.tenant, 0.0), smallest)
            self._waiting[turn.tenant] = deque()
        self._waiting[turn.tenant].append(turn)

    def admit(self) -> list[Turn]:
        """Returns the turns that start running now. No turn overtakes the next one, however large it is,
        because it might otherwise wait forever; but others may use the slots that it is not allowed to
        have."""
        admitted: list[Turn] = []
        while (turn := self._next()) is not None:
            self._remove_waiting(turn)
            self._running.add(turn)
            self._num_running[turn.tenant] += turn.num_choices
            self._last_admitted = turn.tenant
            admitted.append(turn)
        return admitted

    def charge(self, turn: Turn, cost: float) -> None:
        self._costs[turn.tenant] += cost

    def leave(self, turn: Turn) -> None:
        """Ends a turn, whether it is waiting or running."""
        if turn in self._running:
            self._running.remove(turn)
            self._num_running[turn.tenant] -= turn.num_choices
        else:
            self._remove_waiting(turn)
        if self.is_empty:
            # With nobody waiting or running, no credit is owed, and counters of past tenants are dropped.
            self._costs.clear()
            self._num_running.clear()

    def _next(self) -> Turn | None:
        """Returns the next turn that may run. Among tenants with equal counters, the one with the fewest
        running choices goes first, as those are not fully charged yet; then the one that has waited
        longest."""
        tenants = sorted(self._waiting, key=lambda tenant: (self._costs[tenant], self._num_running[tenant]))
        for place, tenant in enumerate(tenants):
            turn = self._waiting[tenant][0]
            if self._has_room(turn) and (place == 0 or self._is_small(turn)):
                return turn
            if not self._fits(turn):
                return None
        return None

    def _has_room(self, turn: Turn) -> bool:
        if not self._running:
            return True
        is_shared = (
            self.num_running() + turn.num_choices <= self._limits.max_running - self._limits.num_reserved
        )
        return is_shared or (self._fits(turn) and self._is_small(turn))

    def _fits(self, turn: Turn) -> bool:
        return not self._running or self.num_running() + turn.num_choices <= self._limits.max_running

    def _is_small(self, turn: Turn) -> bool:
        """Whether the turn may use the reserved slots."""
        running = self._num_running[turn.tenant]
        return not running or running + turn.num_choices <= self._limits.num_reserved

    def _remove_waiting(self, turn: Turn) -> None:
        queue = self._waiting[turn.tenant]
        queue.remove(turn)
        if not queue:
            del self._waiting[turn.tenant]
