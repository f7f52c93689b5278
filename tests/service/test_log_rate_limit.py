import io
import logging
from typing import Any

import pytest
import structlog

from service.log_rate_limit import LoggingRateLimit, LogRateLimiter
from service.logs import configure_service_logs
from tests.logged import own_logging


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_line_is_written_once_a_minute_with_the_number_of_suppressed_ones() -> None:
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


def test_the_number_of_remembered_lines_is_bounded() -> None:
    limiter = LogRateLimiter(60)
    for number in range(5000):
        assert limiter.allow(number) == 0
    assert len(limiter._lines) == 1000
    assert limiter.allow(4999) is None


@pytest.fixture
def scheduler_logs() -> Any:
    stream = io.StringIO()
    with own_logging():
        configure_service_logs(stream)
        yield lambda: stream.getvalue().splitlines()


def test_the_scheduler_logs_once_for_each_attempt_that_ray_is_down(scheduler_logs: Any) -> None:
    """Ray is down for half an hour. Other lines are logged as usual."""
    log = structlog.get_logger()
    for _ in range(3600):
        for job in ("ftjob-a", "ftjob-b"):
            log.warning("attempt not checked", job=job, error="Ray does not answer.")
        log.warning("database unavailable", error="The database does not answer.")
    log.warning("attempt lost", job="ftjob-a", attempt=1, reason="silence")
    for _ in range(2):
        log.info("starting", job="ftjob-a", attempt=2)
    assert len(scheduler_logs()) == 3 + 1 + 2


def test_ticks_with_the_same_error_are_logged_once_and_others_at_once(scheduler_logs: Any) -> None:
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


def test_repeated_warnings_of_the_api_are_suppressed_too(caplog: pytest.LogCaptureFixture) -> None:
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
