"""The events of a job as they happen."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from service.cli.failures import Unavailable
from service.cli.http.events import Event
from service.cli.remote import Api

ENDED = ("succeeded", "failed", "cancelled")

_SILENCE_SECONDS = 40.0
"""The API sends a comment every 15 seconds."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


def follow(
    api: Api,
    job_id: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    on_trouble: Callable[[str | None], object] = lambda reason: None,
) -> Iterator[dict[str, Any]]:
    """Yields every event of the job once, oldest first, until the job has ended. While the API cannot be
    reached, connects again and again, and goes on after the last event.

    `on_trouble` is told why the connection is lost, and None when it is there again. Raises CommandFailed if
    the API refuses."""
    last_id, pause, has_ended = "-1", _FIRST_PAUSE, False
    while True:
        has_more = False
        try:
            for event_id, event in _connected(api, job_id, last_id):
                if pause != _FIRST_PAUSE:
                    on_trouble(None)
                last_id, pause, has_more = event_id or last_id, _FIRST_PAUSE, True
                yield event
            if has_ended and not has_more:
                return
            # A stream also ends when its server restarts: only one that begins after the job's end is whole.
            has_ended = api.get(f"/fine_tuning/jobs/{job_id}")["status"] in ENDED
            if not has_ended:
                sleep(_FIRST_PAUSE)
        except Unavailable as error:
            on_trouble(str(error))
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _connected(api: Api, job_id: str, last_id: str) -> Iterator[Event]:
    """Yields events of one connection."""
    return api.http.events(
        "GET",
        f"/fine_tuning/jobs/{job_id}/events",
        params={"stream": "true"},
        headers={"last-event-id": last_id},
        timeout=httpx2.Timeout(_SILENCE_SECONDS, connect=10),
    )
