"""Whether a failed request is sent again, and after how long. Pure."""

from __future__ import annotations

import random

import httpx

from tunery_client.errors import ApiError, ConnectionFailed

REPEATABLE = "tunery_repeatable"
"""In a request's `extensions`: sending it twice does no more than sending it once."""
POLLED = "tunery_polled"
"""In a request's `extensions`: the caller itself asks again while the answer is being prepared."""
IDEMPOTENCY_KEY = "Idempotency-Key"
PREPARING = frozenset({"dataset_not_ready", "model_not_ready"})
"""Codes that say that the same request will find its answer later."""

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0
"""A server that names a longer pause has its error raised: the caller decides."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_DONE = frozenset({408, 429, 503})
"""Statuses of requests that the server did not begin."""


def pause_before_retry(
    request: httpx.Request, error: ApiError | ConnectionFailed, tries: int, max_retries: int
) -> float | None:
    """Seconds to wait before the request is sent again, or None if `error` is to be raised. `tries` counts
    how often it has been sent."""
    if tries > max_retries or not _may_help(request, error):
        return None
    named = error.retry_after_seconds if isinstance(error, ApiError) else None
    if named is not None:
        return named if named <= _LONGEST_RETRY_AFTER_SECONDS else None
    # Random, so that clients that failed together do not come back together.
    pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1))
    return float(pause * random.uniform(0.5, 1.0))


def _may_help(request: httpx.Request, error: ApiError | ConnectionFailed) -> bool:
    if isinstance(error, ApiError):
        if error.code in PREPARING and request.extensions.get(POLLED):
            return False
        if error.is_retry_useful is not None:
            return error.is_retry_useful
        if error.code == "insufficient_quota":
            return False
        return error.status in _NOT_DONE or (error.status >= 500 and _is_repeatable(request))
    return isinstance(error.__cause__, _NOT_SENT) or _is_repeatable(request)


def _is_repeatable(request: httpx.Request) -> bool:
    return (
        request.method in ("GET", "HEAD", "DELETE")
        or IDEMPOTENCY_KEY in request.headers
        or bool(request.extensions.get(REPEATABLE))
    )
