"""Asks again and again what has become of something that the server makes."""

import time
from typing import Any

from service.cli.http.retrying import retried
from service.cli.remote import Api

_POLL_SECONDS = 1.0
_AWAY_SECONDS = 300.0
"""How long the server may be away."""


def next_state(api: Api, path: str) -> dict[str, Any]:
    """What is at the path a second from now, or once the server is there again."""
    time.sleep(_POLL_SECONDS)
    found: dict[str, Any] = retried(lambda: api.get(path), within_seconds=_AWAY_SECONDS)
    return found
