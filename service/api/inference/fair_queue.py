"""Whose request goes to the engine next. Pure: knows neither a clock nor an event loop.

The Virtual Token Counter of "Fairness in Serving Large Language Models" (Sheng et al., OSDI 2024,
https://arxiv.org/abs/2401.00588): every tenant has a counter of the tokens it was served, and of those that
wait, the one with the smallest counter goes next. A tenant that begins to wait is lifted to the smallest
counter of those that already do: having been away earns nothing.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

PROMPT_TOKEN_COST = 1.0
GENERATED_TOKEN_COST = 2.0
"""The paper's weights: a prompt's tokens are computed together, generated ones step by step."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """In choices: a request for `n` of them counts n times, as it takes n slots of its engine."""

    max_running: int
    """At the engine. A request for more than these runs alone."""
    max_waiting_per_tenant: int
    max_waiting: int

    @property
    def num_reserved(self) -> int:
        """The last eighth of `max_running` is for tenants that have no more than this there, or nothing: who
        comes beside a flood need not wait until one of its answers ends."""
        return self.max_running // 8


@dataclass(eq=False, slots=True)
class Turn:
    """One request's way through the queue and the engine."""

    tenant: str
    num_choices: int


class FairQueue:
    """Turns wait, run and leave; the order is by what their tenants were charged."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._waiting: dict[str, deque[Turn]] = {}
        """Only tenants that wait have an entry, oldest turn first."""
        self._running: set[Turn] = set()
        self._num_running: Counter[str] = Counter()
        self._costs: dict[str, float] = {}
        self._last_admitted = ""

    def num_waiting(self, tenant: str | None = None) -> int:
        """In choices; of all tenants without a name."""
        queues = self._waiting.values() if tenant is None else [self._waiting.get(tenant, ())]
        return sum(turn.num_choices for queue in queues for turn in queue)

    @property
    def num_waiting_tenants(self) -> int:
        return len(self._waiting)

    @property
    def is_empty(self) -> bool:
        return not self._waiting and not self._running

    def exceeded(self, turn: Turn) -> Literal["tenant", "all"] | None:
        """Which limit on those that wait forbids that this turn joins them."""
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
        """Those that run from now on. Nobody passes the one whose turn it is, however many choices it has to
        wait for, else it might wait for ever; but what it may not have is others'."""
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
        """Whether it waits or runs."""
        if turn in self._running:
            self._running.remove(turn)
            self._num_running[turn.tenant] -= turn.num_choices
        else:
            self._remove_waiting(turn)
        if self.is_empty:
            # Nobody is owed anything, and counters of tenants that are gone take no room.
            self._costs.clear()
            self._num_running.clear()

    def _next(self) -> Turn | None:
        """Of equal tenants first the one that runs least, then the one that has waited longest: what is
        running is not all charged yet."""
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
            self._num_running.total() + turn.num_choices
            <= self._limits.max_running - self._limits.num_reserved
        )
        return is_shared or (self._fits(turn) and self._is_small(turn))

    def _fits(self, turn: Turn) -> bool:
        return not self._running or self._num_running.total() + turn.num_choices <= self._limits.max_running

    def _is_small(self, turn: Turn) -> bool:
        """May have what is kept free."""
        running = self._num_running[turn.tenant]
        return not running or running + turn.num_choices <= self._limits.num_reserved

    def _remove_waiting(self, turn: Turn) -> None:
        queue = self._waiting[turn.tenant]
        queue.remove(turn)
        if not queue:
            del self._waiting[turn.tenant]
