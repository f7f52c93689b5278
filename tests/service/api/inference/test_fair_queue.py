"""The order in which tenants' requests are admitted."""

from service.api.inference.fair_queue import FairQueue, QueueLimits, Turn


def queue(max_running: int = 2, max_waiting_per_tenant: int = 100, max_waiting: int = 400) -> FairQueue:
    return FairQueue(QueueLimits(max_running, max_waiting_per_tenant, max_waiting))


def join(fair: FairQueue, tenant: str, count: int = 1, num_choices: int = 1) -> list[Turn]:
    turns = [Turn(tenant, num_choices) for _ in range(count)]
    for turn in turns:
        fair.join(turn)
    return turns


def serve(fair: FairQueue, turns: list[Turn], cost: float) -> list[Turn]:
    """Charges and ends these turns. Returns those that start running."""
    for turn in turns:
        fair.charge(turn, cost)
    admitted = []
    for turn in turns:
        fair.leave(turn)
        admitted += fair.admit()
    return admitted


def test_what_fits_runs_at_once_in_order_of_arrival() -> None:
    fair = queue(max_running=2)
    turns = join(fair, "a", 3)
    assert fair.admit() == turns[:2]
    fair.leave(turns[0])
    assert fair.admit() == turns[2:]


def test_a_quiet_tenants_request_is_the_next_one_however_long_the_floods_queue_is() -> None:
    fair = queue(max_running=2)
    join(fair, "flood", 90)
    running = fair.admit()
    (quiet,) = join(fair, "quiet")
    assert fair.admit() == []
    fair.leave(running[0])
    assert fair.admit() == [quiet]


def test_two_flooding_tenants_get_equal_tokens_even_if_ones_requests_are_longer() -> None:
    fair = queue(max_running=1)
    join(fair, "long", 90)
    join(fair, "short", 90)
    costs = {"long": 300.0, "short": 100.0}
    served = {"long": 0.0, "short": 0.0}
    running = fair.admit()
    for _ in range(80):
        (turn,) = running
        served[turn.tenant] += costs[turn.tenant]
        running = serve(fair, running, costs[turn.tenant])
    assert abs(served["long"] - served["short"]) <= 300.0


def test_being_away_earns_no_credit() -> None:
    fair = queue(max_running=1)
    join(fair, "busy", 40)
    running = fair.admit()
    for _ in range(10):
        running = serve(fair, running, 100.0)
    join(fair, "late", 40)
    tenants = []
    for _ in range(10):
        running = serve(fair, running, 100.0)
        tenants.append(running[0].tenant)
    assert tenants.count("late") in (5, 6)


def test_debt_ends_when_nobody_waits_or_runs() -> None:
    fair = queue(max_running=1)
    join(fair, "a")
    serve(fair, fair.admit(), 1e6)
    assert fair.is_empty
    first, second = join(fair, "a") + join(fair, "b")
    assert fair.admit() == [first]
    fair.leave(first)
    assert fair.admit() == [second]


def test_a_request_counts_for_its_choices_and_nobody_overtakes_it() -> None:
    fair = queue(max_running=4)
    small = join(fair, "a", 2)
    assert fair.admit() == small
    wide = join(fair, "b", num_choices=4)
    later = join(fair, "c")
    assert fair.admit() == []
    fair.leave(small[0])
    assert fair.admit() == []
    fair.leave(small[1])
    assert fair.admit() == wide
    fair.leave(wide[0])
    assert fair.admit() == later


def test_a_request_for_more_than_the_limit_runs_alone() -> None:
    fair = queue(max_running=4)
    wide = join(fair, "a", num_choices=128)
    assert fair.admit() == wide
    other = join(fair, "b")
    assert fair.admit() == []
    fair.leave(wide[0])
    assert fair.admit() == other


def test_a_newcomer_beside_a_flood_finds_a_reserved_place() -> None:
    fair = queue(max_running=16)
    join(fair, "flood", 40)
    flood = fair.admit()
    assert len(flood) == 14
    quiet = join(fair, "quiet", 2)
    assert fair.admit() == quiet
    (third,) = join(fair, "quiet")
    assert fair.admit() == []
    fair.leave(quiet[0])
    assert fair.admit() == [third]
    fair.leave(flood[0])
    fair.leave(third)
    assert fair.admit() == [], "an eighth is still kept free beside the quiet one"
    fair.leave(quiet[1])
    assert [turn.tenant for turn in fair.admit()] == ["flood"]


def test_a_newcomers_large_request_is_not_overtaken_forever() -> None:
    fair = queue(max_running=16)
    join(fair, "flood", 80)
    flood = fair.admit()
    (wide,) = join(fair, "wide", num_choices=10)
    join(fair, "other", 80)
    admitted: list[Turn] = []
    while wide not in admitted and flood:
        fair.leave(flood.pop())
        admitted += fair.admit()
    assert wide in admitted
    assert len(flood) >= 4, "it had to wait for no more than it needs"


def test_limits_apply_to_waiting_choices() -> None:
    fair = queue(max_running=1, max_waiting_per_tenant=2, max_waiting=3)
    assert fair.exceeded(Turn("a", 128)) is None  # it would run at once
    join(fair, "a")
    fair.admit()
    join(fair, "a")
    assert fair.exceeded(Turn("a", 1)) is None
    assert fair.exceeded(Turn("a", 2)) == "tenant"
    join(fair, "a")
    assert fair.exceeded(Turn("a", 1)) == "tenant"
    assert fair.exceeded(Turn("b", 1)) is None
    join(fair, "b")
    assert fair.exceeded(Turn("b", 1)) == "all"
    assert (fair.num_waiting("a"), fair.num_waiting("b"), fair.num_waiting()) == (2, 1, 3)


def test_a_waiting_request_can_leave() -> None:
    fair = queue(max_running=1)
    running, gone, next_one = join(fair, "a", 3)
    fair.admit()
    fair.leave(gone)
    fair.leave(running)
    assert fair.admit() == [next_one]
    fair.leave(next_one)
    assert fair.is_empty
