"""Which adapters are hot, by rates and over time."""

import pytest

from cluster.serving.deployment.placement.usage_rates import UsageRates, models_to_merge


@pytest.mark.parametrize(
    ("rates", "hot", "found"),
    [
        ({"a": 9.9, "b": 10.0}, "", "b"),
        ({"a": 5.0, "b": 4.9}, "ab", "a"),
        ({"a": 5.0}, "", ""),
        ({}, "a", ""),
        ({"a": 11, "b": 30, "c": 20}, "", "bc"),
        ({"a": 6, "b": 30, "c": 20}, "a", "ab"),
    ],
)
def test_an_adapter_is_hot_from_the_threshold_down_to_half_of_it_within_the_limit(
    rates: dict[str, float], hot: str, found: str
) -> None:
    assert models_to_merge(rates, frozenset(hot), threshold=10, most=2) == frozenset(found)


def test_a_refused_adapter_leaves_its_place_to_the_next() -> None:
    rates = {"a": 30.0, "b": 20.0, "c": 11.0}
    assert models_to_merge(rates, {"a"}, refused={"a"}, threshold=10, most=2) == {"b", "c"}


def test_the_rate_is_an_average_over_the_last_minutes_and_decays() -> None:
    now = 0.0
    heat = UsageRates(300, clock=lambda: now)
    for _ in range(600):
        now += 5
        heat.add({"steady": 100})
    assert heat.rates()["steady"] == pytest.approx(20, rel=0.02)
    now += 300
    assert heat.rates()["steady"] == pytest.approx(20 / 2.718, rel=0.02)
    now += 3600
    heat.add({"new": 3000})
    assert heat.rates() == {"new": 10.0}
