import pytest

from service.db.retries import RetryPolicy


@pytest.mark.parametrize(("faults", "seconds"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (10_000, 60)])
def test_each_pause_is_twice_the_one_before_up_to_the_longest(faults: int, seconds: float) -> None:
    retries = RetryPolicy(max_faults=3, first_seconds=2, max_seconds=60)
    assert retries.pause_seconds(faults) == seconds
