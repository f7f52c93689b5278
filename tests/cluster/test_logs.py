"""Every line of a log is JSON, says what it is about, and holds no secret."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from cluster.logs import configure_logs
from tests.logged import own_logging

CANARIES = {
    "key": "tk-abcdefghij12-" + "0a" * 32 + "-12345678",
    "token": "canary-of-a-token",
    "password": "canary-of-a-password",
    "webhook": "whsec_" + "canaryofawebhook",
}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the logs of this process go for a while."""
    stream = io.StringIO()
    with own_logging():
        configure_logs(stream, process="test", job="ftjob-1")
        yield stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_both_ways_of_logging_give_the_same_lines(stream: io.StringIO) -> None:
    with bound_contextvars(request="req_1", project="proj-1"):
        structlog.get_logger().info("swept", bytes=3)
        logging.getLogger("a.b").warning("%s took %d", "x", 4, extra={"status": 200})
    logging.getLogger("a.b").debug("too fine")
    first, second = lines(stream)
    about = {"process": "test", "job": "ftjob-1", "request": "req_1", "project": "proj-1"}
    assert first.items() >= {**about, "level": "info", "event": "swept", "bytes": 3}.items()
    assert second.items() >= {**about, "level": "warning", "event": "x took 4", "status": 200}.items()
    assert second["logger"] == "a.b"
    assert all(line["timestamp"].endswith("Z") for line in (first, second))


def test_a_traceback_is_one_line(stream: io.StringIO) -> None:
    for log in (logging.getLogger("a").exception, structlog.get_logger().exception):
        try:
            raise ValueError("first\nsecond")
        except ValueError:
            log("failed")
    assert [line["exception"].splitlines()[-1] for line in lines(stream)] == ["second", "second"]


def test_what_cannot_be_json_is_shown_anyhow(stream: io.StringIO) -> None:
    structlog.get_logger().info("odd", value={1, 2}, text="\u2028\ud800")
    (line,) = lines(stream)
    assert line["value"] == "{1, 2}"


def test_no_secret_that_an_error_quotes_is_written(stream: io.StringIO) -> None:
    texts = [
        f"Incorrect API key: {CANARIES['key']}",
        f"GET http://x/ with Authorization: Bearer {CANARIES['token']}",
        f"{{'authorization': 'Bearer {CANARIES['token']}'}}",
        f"could not connect to postgresql://tunery:{CANARIES['password']}@db:5432/tunery",
        f"signed with {CANARIES['webhook']}",
        f'{{"attempt_token": "{CANARIES["token"]}", "password":"{CANARIES["password"]}"}}',
        f"TUNERY_CLUSTER_TOKEN={CANARIES['token']} RAY_AUTH_TOKEN={CANARIES['token']}",
    ]
    for text in texts:
        structlog.get_logger().warning("failed", error=text)
        logging.getLogger("a").warning(text)
        try:
            raise RuntimeError(text)
        except RuntimeError:
            logging.getLogger("a").exception("failed")
    written = stream.getvalue()
    assert len(lines(stream)) == 3 * len(texts)
    assert [name for name, canary in CANARIES.items() if canary in written] == []
    assert "tk-abcdefghij12-***" in written
    assert "://***@db:5432/tunery" in written
