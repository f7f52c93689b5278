"""The events of a job: as they happen, all that there are, or the newest."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import dropwhile, islice
from typing import Any

import httpx2

from service.cli.failures import Unavailable
from service.cli.http.events import Event
from service.cli.lookups import quoted
from service.cli.remote import Api

ENDED = ("succeeded", "failed", "cancelled")

_SILENCE_SECONDS = 40.0
"""The API sends a comment every 15 seconds."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_PATIENCE_SECONDS = 60.0
_PAGE = 1000
"""Events in a request, at most."""


def follow(
    api: Api,
    job_id: str,
    *,
    within_seconds: float = float("inf"),
    sleep: Callable[[float], None] = time.sleep,
    on_trouble: Callable[[str | None], object] = lambda reason: None,
) -> Generator[dict[str, Any]]:
    """Yields every event of the job once, oldest first, until the job has ended. While the API cannot be
    reached, reconnects repeatedly, and continues after the last event.

    `on_trouble` is told why the connection is lost, and None when it is there again. Raises CommandFailed if
    the API refuses, and Unavailable if it would wait for more than `within_seconds` between two events."""
    last_id, pause, waited, has_ended = "-1", _FIRST_PAUSE, 0.0, False
    while True:
        has_more = False
        try:
            for event_id, event in _connected(api, job_id, last_id):
                if pause != _FIRST_PAUSE:
                    on_trouble(None)
                last_id, pause, waited, has_more = event_id or last_id, _FIRST_PAUSE, 0.0, True
                yield event
            if has_ended and not has_more:
                return
            # A stream also ends when its server restarts: only one that begins after the job's end is
            # complete.
            has_ended = api.get(f"/fine_tuning/jobs/{job_id}")["status"] in ENDED
            if not has_ended:
                sleep(_FIRST_PAUSE)
        except Unavailable as error:
            if waited + pause > within_seconds:
                raise
            on_trouble(str(error))
            sleep(pause)
            waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)


def logged_events(
    api: Api,
    job_id: str,
    *,
    is_followed: bool = False,
    tail: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Yields the events that the job has by now, oldest first: only the newest `tail`, if it is given. With
    `is_followed`, goes on until the job has ended. Raises CommandFailed, also if the API is away for too long
    and `is_followed` is not set."""
    if is_followed and tail is None:
        return follow(api, job_id, sleep=sleep)
    newest = list(_newest_events(api, job_id, tail or 1))
    if not newest:
        return follow(api, job_id, sleep=sleep) if is_followed else iter(())
    if is_followed:
        return dropwhile(lambda event: event["id"] != newest[-1]["id"], follow(api, job_id, sleep=sleep))
    return reversed(newest) if tail else _until(api, job_id, newest[0]["id"], sleep=sleep)


def _until(
    api: Api, job_id: str, event_id: str, *, sleep: Callable[[float], None]
) -> Iterator[dict[str, Any]]:
    """Yields events as they arrive, up to this one. Pages begin with the newest event: only the stream can be
    printed without all of it in memory."""
    with closing(follow(api, job_id, within_seconds=_PATIENCE_SECONDS, sleep=sleep)) as events:
        for event in events:
            yield event
            if event["id"] == event_id:
                return


def _newest_events(api: Api, job_id: str, count: int) -> Iterator[dict[str, Any]]:
    path = f"/fine_tuning/jobs/{quoted(job_id)}/events"
    return islice(api.list(path, page_size=min(count, _PAGE)), count)


def _connected(api: Api, job_id: str, last_id: str) -> Iterator[Event]:
    """Yields events of one connection."""
    return api.http.events(
        "GET",
        f"/fine_tuning/jobs/{job_id}/events",
        params={"stream": "true"},
        headers={"last-event-id": last_id},
        timeout=httpx2.Timeout(_SILENCE_SECONDS, connect=10),
    )
