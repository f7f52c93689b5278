"""How much tenants over their share slow down a tenant within its share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cluster.serving.fairness.sharing import StepSharing

Cost = Callable[[int], float]


def on_cpu(rows: int) -> float:
    return 3.0 + rows


def on_gpu(rows: int) -> float:
    return 10.0 + 0.03 * rows


@dataclass
class Engine:
    """An engine whose steps take `cost` seconds."""

    held: Mapping[str, int]
    cost: Cost
    delay_per_row: float = 0.0
    """Delay of a step, in seconds per row of the previous step."""
    hiccups: Mapping[int, float] = field(default_factory=dict)
    """Delays by something else, in seconds, by the number of the step."""
    sharing: StepSharing = field(default_factory=StepSharing)
    seconds: float = 0.0
    tokens: dict[str, int] = field(default_factory=dict)
    """For each row of a tenant."""
    rows: list[int] = field(default_factory=list)
    """For each step."""

    def step(self) -> None:
        shares = self.sharing.decide(self.held)
        taking_part = [tenant for tenant in self.held if tenant not in shares.skipping]
        rows = sum(self.held[tenant] for tenant in taking_part)
        late = self.delay_per_row * (self.rows[-1] if self.rows else 0) + self.hiccups.get(
            len(self.rows), 0.0
        )
        seconds = self.cost(rows) + late
        self.rows.append(rows)
        self.seconds += seconds
        self.sharing.record_decode(shares, seconds)
        for tenant in taking_part:
            self.tokens[tenant] = self.tokens.get(tenant, 0) + 1


def run(held: Mapping[str, int], cost: Cost, steps: int = 400, delay_per_row: float = 0.0) -> Engine:
    engine = Engine(held, cost, delay_per_row)
    for _ in range(steps):
        engine.step()
    return engine


def test_beside_a_flood_tokens_come_at_most_a_third_slower_and_the_flood_continues() -> None:
    engine = run({"quiet": 1, "flood": 32}, on_cpu)
    seconds_a_token = engine.seconds / engine.tokens["quiet"]
    assert on_cpu(1) < seconds_a_token <= 1.37 * on_cpu(1)
    # The rest of the time belongs to the flood, and is not wasted.
    assert engine.tokens["flood"] * 32 * on_cpu(33) / 32 >= 0.22 * engine.seconds


def test_the_delay_after_a_full_step_is_charged_to_the_flood() -> None:
    engine = run({"quiet": 1, "flood": 32}, on_cpu, delay_per_row=0.2)
    apart = on_cpu(1) + 0.2
    assert apart < engine.seconds / engine.tokens["quiet"] <= 1.37 * apart
    assert engine.tokens["flood"] * (on_cpu(33) + 0.2 * 32) >= 0.22 * engine.seconds


def test_a_step_delayed_by_something_else_admits_no_more_of_a_flood() -> None:
    engine = Engine({"quiet": 1, "flood": 32}, on_cpu, hiccups={50: 1000.0})
    while len(engine.rows) <= 50:
        engine.step()
    assert engine.rows[-1] == 1, "the quiet one's alone"
    before = engine.tokens["flood"]
    for _ in range(100):
        engine.step()
    assert engine.tokens["flood"] - before <= 5


def test_a_new_tenant_starts_with_a_reduced_step() -> None:
    for cost, is_apart in ((on_cpu, True), (on_gpu, False)):
        engine = run({"quiet": 1, "flood": 32}, cost)
        engine.held = {"flood": 32}
        for _ in range(3):
            engine.step()
        assert engine.rows[-3:] == [32] * 3
        assert bool(engine.sharing.decide({"quiet": 1, "flood": 32}).skipping) == is_apart


def test_if_full_steps_take_hardly_longer_rows_skip_only_for_measurements() -> None:
    engine = run({"quiet": 1, "flood": 32}, on_gpu)
    assert engine.tokens["flood"] >= 0.96 * engine.tokens["quiet"]


def test_tenants_with_equal_shares_all_take_part() -> None:
    engine = run({"a": 16, "b": 16}, on_cpu)
    assert engine.tokens["a"] == engine.tokens["b"] == 400


def test_no_rows_skip_for_a_tenant_without_rows() -> None:
    engine = run({"flood": 32, "quiet": 0}, on_cpu)
    assert engine.tokens["flood"] == 400


def test_prefills_of_a_flood_are_charged_too() -> None:
    engine = Engine({"quiet": 1, "flood": 32}, on_cpu)
    engine.step()
    shares = engine.sharing.decide(engine.held)
    engine.sharing.record_prefill(shares, frozenset({"flood"}), 100.0)
    while engine.tokens.get("flood", 0) == 0:
        engine.step()
    assert (engine.seconds + 100.0) / engine.tokens["quiet"] <= 1.37 * on_cpu(1) + on_cpu(33)
    assert engine.tokens["quiet"] >= 100.0 / (on_cpu(1) / 3)
