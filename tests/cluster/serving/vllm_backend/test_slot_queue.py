"""Sequences are admitted fairly between tenants and between adapters, and never to wait inside vLLM."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from cluster.contracts.errors import Overloaded
from cluster.serving.vllm_backend.slot_queue import SlotQueue, Ticket

pytestmark = pytest.mark.anyio


@dataclass
class Engine:
    """A queue whose clock the test sets, and the sequences that it has admitted."""

    slots: int = 64
    max_loras: int = 7
    now: float = 0.0
    tickets: list[Ticket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = SlotQueue(
            slots=self.slots, max_waiting=1000, max_loras=self.max_loras, clock=lambda: self.now
        )

    def ask(self, adapter: str | None, *, tenant: str = "t", count: int = 1) -> list[Ticket]:
        tickets = self.queue.queue(tenant, count, adapter)
        self.tickets += tickets
        return tickets

    @property
    def running(self) -> list[Ticket]:
        return [ticket for ticket in self.tickets if ticket.turn.done()]

    def finish(self, ticket: Ticket) -> None:
        self.tickets.remove(ticket)
        self.queue.leave(ticket)

    def adapters(self) -> set[str | None]:
        return {ticket.adapter for ticket in self.running}


async def test_no_slot_is_held_by_a_sequence_that_vllm_would_skip() -> None:
    engine = Engine(slots=64, max_loras=2)
    for adapter in ("a", "b", "c", "d"):
        engine.ask(adapter, count=8)
    engine.ask(None, count=40)
    assert Counter(ticket.adapter for ticket in engine.running) == {"a": 8, "b": 8, None: 40}
    assert engine.queue.num_waiting == 16


async def test_24_adapters_in_constant_demand_all_get_tokens_on_7_places() -> None:
    """Each of 144 clients asks again as soon as it is answered, after a second on average."""
    engine, draw = Engine(slots=64, max_loras=7), random.Random(0)
    names = [f"adapter-{number}" for number in range(24)]
    for name in names * 6:
        engine.ask(name)
    served: Counter[str | None] = Counter()
    for _ in range(2000):
        assert len(engine.adapters()) <= 7
        engine.now += 1 / len(engine.running)
        done = draw.choice(engine.running)
        served[done.adapter] += 1
        engine.finish(done)
        engine.ask(done.adapter)
    assert len(served) == 24, f"{sorted(set(names) - set(served))} had no turn"
    assert min(served.values()) > 2000 / 24 / 4


async def test_every_adapter_has_had_a_turn_after_a_bounded_number_of_answers() -> None:
    """Those that run are always asked again. Twice as many answers as sequences have waited suffice."""
    engine = Engine(slots=256, max_loras=7)
    for adapter in range(24):
        engine.ask(str(adapter), count=6)
    had_turn: set[str | None] = set()
    answers = 0
    while len(had_turn := had_turn | engine.adapters()) < 24:
        engine.now += 0.1
        done = engine.running[0]
        engine.finish(done)
        engine.ask(done.adapter)
        answers += 1
        assert answers <= 2 * 24 * 6


async def test_a_turn_ends_only_for_an_adapter_that_has_waited_as_long() -> None:
    engine = Engine(max_loras=1)
    (first,) = engine.ask("a")
    engine.now = 10.0
    engine.ask("a")
    engine.ask("b")
    engine.now = 11.9
    engine.ask("a")
    assert len(engine.running) == 3
    engine.now = 12.0
    engine.ask("a")
    assert len(engine.running) == 3, "the turn of a is over"
    for ticket in list(engine.running):
        engine.finish(ticket)
    assert engine.adapters() == {"b"}
    assert first.turn.done()


async def test_a_turn_goes_on_once_nobody_waits_for_its_end() -> None:
    engine = Engine(max_loras=1)
    engine.ask("a")
    (other,) = engine.ask("b")
    engine.now = 5.0
    engine.ask("a")
    assert len(engine.running) == 1
    engine.finish(other)
    assert len(engine.running) == 2


async def test_the_longest_turn_ends_first_and_no_more_than_others_need() -> None:
    engine = Engine(max_loras=3)
    for number, adapter in enumerate("abc"):
        engine.now = float(number)
        engine.ask(adapter)
    engine.ask("d")
    engine.now = 10.0
    for adapter in "abc":
        engine.ask(adapter)
    assert Counter(ticket.adapter for ticket in engine.running) == {"a": 1, "b": 2, "c": 2}


async def test_a_tenants_adapters_do_not_keep_out_those_of_another() -> None:
    engine = Engine(max_loras=2)
    for number in range(20):
        engine.ask(f"flood-{number}", tenant="flood")
    engine.ask("only", tenant="other")
    engine.finish(engine.running[0])
    assert "only" in engine.adapters()


async def test_of_equal_adapters_the_tenant_with_fewest_sequences_goes_first_then_the_oldest() -> None:
    engine = Engine(slots=2)
    engine.ask("a", tenant="x", count=4)
    (late,) = engine.ask("a", tenant="y")
    engine.now = 1.0
    engine.finish(engine.running[0])
    assert late.turn.done()
    engine.finish(late)
    assert [ticket.tenant for ticket in engine.running] == ["x", "x"]


async def test_one_more_sequence_than_a_tenant_may_queue_is_refused_and_none_is_queued() -> None:
    queue = SlotQueue(slots=1, max_waiting=2, max_loras=1)
    queue.queue("t", 1, None)
    queue.queue("t", 2, None)
    with pytest.raises(Overloaded):
        queue.queue("t", 1, "a")
    assert queue.num_waiting == 2
