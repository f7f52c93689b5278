"""Polls the state of something that the server is making."""

import time
from typing import Any

from service.cli.http.retrying import retried
from service.cli.remote import Api

_POLL_SECONDS = 1.0
_AWAY_SECONDS = 300.0
"""How long the server may be unreachable."""


def next_state(api: Api, path: str) -> dict[str, Any]:
    """Returns the object at the path after a second, or once the server is reachable again."""
    time.sleep(_POLL_SECONDS)
    found: dict[str, Any] = retried(lambda: api.get(path), within_seconds=_AWAY_SECONDS)
    return found
