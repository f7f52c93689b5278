"""Calls that the API cannot answer yet are repeated, and no others."""

import pytest

from service.cli.failures import CommandFailed, Unavailable
from service.cli.http.retrying import retried


def answers(*outcomes: object):
    left = list(outcomes)

    def call() -> object:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return call


def test_it_waits_as_the_api_says_or_twice_as_long_each_time() -> None:
    waited: list[float] = []
    call = answers(Unavailable("a", retry_after_seconds=7), Unavailable("b"), Unavailable("c"), "done")
    assert retried(call, within_seconds=60, sleep=waited.append) == "done"
    assert waited == [7, 1.0, 2.0]


def test_it_gives_up_with_the_last_reason_before_it_would_wait_too_long() -> None:
    waited: list[float] = []
    call = answers(Unavailable("a"), Unavailable("b", retry_after_seconds=100))
    with pytest.raises(Unavailable, match="b"):
        retried(call, within_seconds=60, sleep=waited.append)
    assert waited == [0.5]


def test_a_refusal_is_final() -> None:
    with pytest.raises(CommandFailed, match="no"):
        retried(answers(CommandFailed("no"), "done"), within_seconds=60, sleep=lambda _: None)


def test_whoever_waits_is_told_why_once() -> None:
    told: list[str] = []
    call = answers(Unavailable("a"), Unavailable("b"), "done")
    retried(call, within_seconds=60, sleep=lambda _: None, on_trouble=told.append)
    assert told == ["a"]
