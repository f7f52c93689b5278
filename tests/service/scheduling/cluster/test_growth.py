from service.scheduling.cluster.growth import Growth
from service.scheduling.policy.placement import STALLED_SECONDS


def test_a_pool_is_stalled_once_jobs_have_waited_for_long_and_until_a_node_joins() -> None:
    growth = Growth()
    growth.update({"a"}, {"a": 2, "b": 1}, at=0.0)
    growth.update({"a"}, {"a": 1}, at=100.0)
    assert not growth.is_stalled("a", STALLED_SECONDS - 1)
    growth.update({"a"}, {"a": 2}, at=STALLED_SECONDS)
    assert growth.is_stalled("a", STALLED_SECONDS), "a node that was lost and came back is none that joins"
    assert not growth.is_stalled("b", STALLED_SECONDS)
    growth.update({"a"}, {"a": 3}, at=STALLED_SECONDS + 1)
    assert not growth.is_stalled("a", STALLED_SECONDS + 1)
    assert growth.is_stalled("a", 2 * STALLED_SECONDS + 1)


def test_time_in_which_no_job_waits_does_not_count() -> None:
    growth = Growth()
    growth.update({"a"}, {"a": 2}, at=0.0)
    growth.update((), {"a": 2}, at=STALLED_SECONDS / 2)
    growth.update({"a"}, {"a": 2}, at=STALLED_SECONDS)
    assert not growth.is_stalled("a", STALLED_SECONDS)
