"""A queue for vLLM's slots that is fair between tenants."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from cluster.contracts.errors import Overloaded
from cluster.serving.fairness.overload import is_overloaded


@dataclass(eq=False)
class Ticket:
    """The place of one sequence in the queue, and then in the engine."""

    tenant: str
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done when the sequence may begin."""


class SlotQueue:
    """Admits at most `slots` sequences at a time: the tenant with the fewest goes first, then the oldest."""

    def __init__(self, *, slots: int, max_waiting: int) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._waiting: list[Ticket] = []
        self._running: list[Ticket] = []

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def queue(self, tenant: str, count: int) -> list[Ticket]:
        """Queues the sequences of one request. Each ticket must be passed to `leave` once. Raises Overloaded,
        and queues none, if there are too many."""
        queued = Counter(ticket.tenant for ticket in self._waiting)
        if is_overloaded(queued, tenant, count, max_waiting=self._max_waiting):
            raise Overloaded(f"{len(self._waiting)} completions are already waiting; try again in a moment.")
        tickets = [Ticket(tenant) for _ in range(count)]
        self._waiting += tickets
        self._admit()
        return tickets

    def leave(self, ticket: Ticket) -> None:
        """Gives up the ticket's place in the queue or in the engine."""
        (self._running if ticket in self._running else self._waiting).remove(ticket)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._slots:
            running = Counter(ticket.tenant for ticket in self._running)
            ticket = min(self._waiting, key=lambda ticket: running[ticket.tenant])
            self._waiting.remove(ticket)
            self._running.append(ticket)
            # A ticket that was cancelled while waiting is about to leave.
            if not ticket.turn.done():
                ticket.turn.set_result(None)
