"""Limits on queued completions."""

from cluster.serving.fairness.overload import is_overloaded


def test_a_tenants_share_of_the_queue_is_bounded_and_others_still_enter() -> None:
    assert not is_overloaded({"a": 7}, "a", 1, max_waiting=8)
    assert is_overloaded({"a": 8}, "a", 1, max_waiting=8)
    assert not is_overloaded({"a": 8}, "b", 8, max_waiting=8)
    assert is_overloaded({"a": 8, "b": 8, "c": 8, "d": 8}, "e", 1, max_waiting=8)
