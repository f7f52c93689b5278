"""A queue for vLLM's slots that is fair between tenants, and between adapters.

vLLM runs at most `max_loras` adapters at once. It skips a request with any other adapter, and keeps admitting
later requests with the running ones (`vllm/v1/core/sched/scheduler.py`): the skipped requests would hold
slots and never get a token. Adapters therefore take turns here, and vLLM is given no request that it would
skip."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from cluster.contracts.errors import Overloaded
from cluster.serving.fairness.overload import is_overloaded

_TURN_SECONDS = 2.0


@dataclass(eq=False)
class Ticket:
    """The place of one sequence in the queue, and then in the engine."""

    tenant: str
    adapter: str | None
    """Adapter of the sequence; None for the engine's own weights."""
    since: float
    """When it was queued."""
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done when the sequence may begin."""


class SlotQueue:
    """Admits at most `slots` sequences, of at most `max_loras` adapters, at a time. The tenant with the
    fewest sequences goes first, then the oldest sequence.

    An adapter's turn lasts `turn_seconds`, and continues until another adapter has waited for that long. Then
    the adapter gets no more sequences. Once its last sequence has left, its place goes to the tenant with the
    fewest running adapters, then to the oldest sequence. As many turns end as adapters have waited, the
    longest turns first. One tenant's adapters therefore do not keep out those of others, and each adapter
    gets its turn."""

    def __init__(
        self,
        *,
        slots: int,
        max_waiting: int,
        max_loras: int,
        turn_seconds: float = _TURN_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._max_loras = max_loras
        self._turn_seconds = turn_seconds
        self._clock = clock
        self._waiting: list[Ticket] = []
        self._running: list[Ticket] = []
        self._began: dict[str, float] = {}
        """Start of the turn of each running adapter, the longest turn first."""

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def queue(self, tenant: str, count: int, adapter: str | None) -> list[Ticket]:
        """Queues the sequences of one request. Each ticket must be passed to `leave` once. Raises Overloaded,
        and queues none, if there are too many."""
        queued = Counter(ticket.tenant for ticket in self._waiting)
        if is_overloaded(queued, tenant, count, max_waiting=self._max_waiting):
            raise Overloaded(f"{len(self._waiting)} completions are already waiting; try again in a moment.")
        now = self._clock()
        tickets = [Ticket(tenant, adapter, now) for _ in range(count)]
        self._waiting += tickets
        self._admit()
        return tickets

    def leave(self, ticket: Ticket) -> None:
        """Gives up the ticket's place in the queue or in the engine."""
        (self._running if ticket in self._running else self._waiting).remove(ticket)
        if ticket.adapter is not None and ticket.adapter not in {each.adapter for each in self._running}:
            self._began.pop(ticket.adapter, None)
        self._admit()

    def _admit(self) -> None:
        # Elapsed time alone admits no one: whether turns end is checked only when a sequence arrives or
        # leaves.
        while len(self._running) < self._slots and (ticket := self._next()) is not None:
            self._waiting.remove(ticket)
            self._running.append(ticket)
            if ticket.adapter is not None:
                self._began.setdefault(ticket.adapter, self._clock())
            # A ticket that was cancelled while waiting is about to leave.
            if not ticket.turn.done():
                ticket.turn.set_result(None)

    def _next(self) -> Ticket | None:
        new = [each for each in self._waiting if each.adapter is not None and each.adapter not in self._began]
        shut_out = {each.adapter for each in new} | self._leaving(new)
        candidates = [each for each in self._waiting if each.adapter not in shut_out]
        if new and len(self._began) < self._max_loras:
            pairs = {(each.tenant, each.adapter) for each in self._running if each.adapter is not None}
            places = Counter(tenant for tenant, _ in pairs)
            candidates.append(min(new, key=lambda ticket: places[ticket.tenant]))
        running = Counter(ticket.tenant for ticket in self._running)
        return min(candidates, key=lambda ticket: (running[ticket.tenant], ticket.since), default=None)

    def _leaving(self, new: list[Ticket]) -> set[str]:
        """Returns the adapters whose turns end. `new` are the tickets that wait for the place of an
        adapter."""
        turn_ago = self._clock() - self._turn_seconds
        late = {ticket.adapter for ticket in new if ticket.since <= turn_ago}
        over = [adapter for adapter, began in self._began.items() if began <= turn_ago]
        return set(over[: max(0, len(late) + len(self._began) - self._max_loras)])
