import logging
from typing import Any

import pytest
import structlog

from service.log_rate_limit import LoggingRateLimit, LogRateLimiter
from service.scheduling.__main__ import _configure_logs


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_line_is_said_once_a_minute_and_then_how_often_it_was_held_back() -> None:
    clock = Clock()
    limiter = LogRateLimiter(60, clock=clock)
    answers = []
    for second in range(0, 130):
        clock.at = second / 1
        answers.append(limiter.allow("Ray does not answer."))
        assert limiter.allow(("another", second)) == 0
    assert [(second, count) for second, count in enumerate(answers) if count is not None] == [
        (0, 0),
        (60, 59),
        (120, 59),
    ]


def test_only_so_many_lines_are_remembered() -> None:
    limiter = LogRateLimiter(60)
    for number in range(5000):
        assert limiter.allow(number) == 0
    assert len(limiter._lines) == 1000
    assert limiter.allow(4999) is None


@pytest.fixture
def scheduler_logs(capsys: pytest.CaptureFixture[str]) -> Any:
    before = structlog.get_config()
    _configure_logs()
    yield lambda: capsys.readouterr().out.splitlines()
    structlog.configure(**before)


def test_the_scheduler_says_of_each_attempt_once_that_ray_is_away(scheduler_logs: Any) -> None:
    """Half an hour of it; anything else is said as ever."""
    log = structlog.get_logger()
    for _ in range(3600):
        for job in ("ftjob-a", "ftjob-b"):
            log.warning("attempt not checked", job=job, error="Ray does not answer.")
        log.warning("database unavailable", error="The database does not answer.")
    log.warning("attempt lost", job="ftjob-a", attempt=1, reason="silence")
    for _ in range(2):
        log.info("starting", job="ftjob-a", attempt=2)
    assert len(scheduler_logs()) == 3 + 1 + 2


def test_ticks_that_fail_alike_are_said_once_and_others_at_once(scheduler_logs: Any) -> None:
    log = structlog.get_logger()
    for error in (KeyError("a"), KeyError("a"), ValueError("b"), KeyError("a")):
        try:
            raise error
        except Exception:
            log.exception("tick failed")
    lines = scheduler_logs()
    assert len(lines) == 2
    assert "KeyError" in lines[0]
    assert "ValueError" in lines[1]


def test_the_apis_repeated_warnings_are_held_back_too(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = logging.getLogger("service.api.test")
    caplog.handler.addFilter(held := LoggingRateLimit(LogRateLimiter(60, clock=clock)))
    try:
        with caplog.at_level(logging.INFO):
            for second in range(61):
                clock.at = second
                log.warning("%s is away", "the database")
                log.info("said as ever")
    finally:
        caplog.handler.removeFilter(held)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["the database is away", "the database is away (repeated 59 times since)"]
    assert len(caplog.records) == 2 + 61
