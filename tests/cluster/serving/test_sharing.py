"""How long a tenant within its share waits for those beyond theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cluster.serving.embedded.sharing import Pace

Cost = Callable[[int], float]


def on_cpu(rows: int) -> float:
    return 3.0 + rows


def on_gpu(rows: int) -> float:
    return 10.0 + 0.03 * rows


@dataclass
class Engine:
    """One that takes `cost` seconds for a step."""

    held: Mapping[str, int]
    cost: Cost
    pace: Pace = field(default_factory=Pace)
    seconds: float = 0.0
    tokens: dict[str, int] = field(default_factory=dict)
    """Of each row of a tenant."""

    def step(self) -> None:
        shares = self.pace.decide(self.held)
        taking_part = [tenant for tenant in self.held if tenant not in shares.sit_out]
        seconds = self.cost(sum(self.held[tenant] for tenant in taking_part))
        self.seconds += seconds
        self.pace.decoded(shares, seconds)
        for tenant in taking_part:
            self.tokens[tenant] = self.tokens.get(tenant, 0) + 1


def run(held: Mapping[str, int], cost: Cost, steps: int = 400) -> Engine:
    engine = Engine(held, cost)
    for _ in range(steps):
        engine.step()
    return engine


def test_beside_a_flood_tokens_come_at_most_half_as_slow_again_and_the_flood_goes_on() -> None:
    engine = run({"quiet": 1, "flood": 32}, on_cpu)
    seconds_a_token = engine.seconds / engine.tokens["quiet"]
    assert on_cpu(1) < seconds_a_token <= 1.55 * on_cpu(1)
    # The rest of the time is the flood's, and it does not waste it.
    assert engine.tokens["flood"] * 32 * on_cpu(33) / 32 >= 0.3 * engine.seconds


def test_where_full_steps_take_hardly_longer_nobody_sits_out_but_to_be_timed() -> None:
    engine = run({"quiet": 1, "flood": 32}, on_gpu)
    assert engine.tokens["flood"] >= 0.96 * engine.tokens["quiet"]


def test_tenants_with_equal_shares_all_take_part() -> None:
    engine = run({"a": 16, "b": 16}, on_cpu)
    assert engine.tokens["a"] == engine.tokens["b"] == 400


def test_nobody_sits_out_for_one_that_has_no_row_yet() -> None:
    engine = run({"flood": 32, "quiet": 0}, on_cpu)
    assert engine.tokens["flood"] == 400


def test_a_floods_prompts_are_made_up_for_too() -> None:
    engine = Engine({"quiet": 1, "flood": 32}, on_cpu)
    engine.step()
    shares = engine.pace.decide(engine.held)
    engine.pace.prefilled(shares, frozenset({"flood"}), 100.0)
    while engine.tokens.get("flood", 0) == 0:
        engine.step()
    assert (engine.seconds + 100.0) / engine.tokens["quiet"] <= 1.55 * on_cpu(1) + on_cpu(33)
    assert engine.tokens["quiet"] >= 100.0 / (0.5 * on_cpu(1))
